"""What PyTorch has no module for. Importing this imports PyTorch."""

import torch
from torch import nn


class First(nn.Module):
    """The first n features: of a variational encoder's, the means."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return y[:, : self.n]

    def extra_repr(self) -> str:
        return str(self.n)


class Largest(nn.Module):
    """All but the k largest of each row become 0; equals of the k-th stay."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        least = z.topk(self.k, dim=1).values[:, -1:]
        return torch.where(z < least, torch.zeros_like(z), z)

    def extra_repr(self) -> str:
        return str(self.k)


class MissingAsZero(nn.Module):
    """NaN becomes 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.isnan(x), torch.zeros_like(x), x)


class Conditioned(nn.Sequential):
    """Encoder and decoder, which both receive the last n_conditions features of x."""

    def __init__(self, modules: dict[str, nn.Module], n_conditions: int) -> None:
        super().__init__(modules)
        self.n_conditions = n_conditions

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        encoder, decoder = self
        y: torch.Tensor = decoder(torch.cat([encoder(x), x[:, -self.n_conditions :]], dim=1))
        return y
