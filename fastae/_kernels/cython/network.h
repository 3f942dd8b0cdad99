/* A network's layers and their buffers, as network.pxi and plan.pxi lay them out. */
#ifndef FASTAE_NETWORK
#define FASTAE_NETWORK
#include <stddef.h>

typedef struct Matrix {
    void *data;
    ptrdiff_t stride; /* elements from row to row */
} Matrix;

typedef struct Layer {
    ptrdiff_t n_in, n_out;
    int activation, keeps_input;
    ptrdiff_t weight_at, bias_at;     /* places in the flat arrays; bias_at < 0: no bias */
    Matrix weight;                    /* (n_out, n_in) */
    void *bias;                       /* (n_out,); zeros without a bias */
    ptrdiff_t down, across;           /* elements from output to output, from input to input of it; tied weights are another layer's */
    Matrix velocity, square;          /* training: as weight; data NULL where the optimiser has none */
    void *bias_velocity, *bias_square;
    Matrix gradient;                  /* the same, where the whole of it is needed before an update */
    void *bias_gradient;
    Matrix turned, turned_velocity, turned_square; /* (n_in, n_out), in tiny networks alone */
    Matrix x, y;                      /* a feature a row: (n_in, samples) and (n_out, samples) */
    Matrix x_rows, y_rows;            /* a sample a row */
    Matrix kept, kept_rows;           /* y, or the activation's argument where its derivative needs that */
    Matrix dz, dz_rows;               /* training: gradient by the activation's argument */
    Matrix value;                     /* the activation's value: y, unless a recipe makes something else of it */
    Matrix gate, drawn;               /* by which the value is multiplied; the normal numbers of a Gaussian code; or data NULL */
    ptrdiff_t width;                  /* features of y, which are n_out without a Gaussian code */
} Layer;

typedef struct Rule { /* an optimiser of names.OPTIMIZERS, and its numbers for one step */
    int kind, nesterov;
    double lr, momentum, weight_decay, beta, eps;
    double step_size, root; /* Adam: lr / (1 - momentum^t), and 1 / sqrt(1 - beta^t), by which means are made free of bias */
    double factor, bound;   /* the gradient is multiplied, then clamped */
} Rule;
#endif
