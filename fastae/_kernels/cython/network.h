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
    Matrix velocity;                  /* training: as weight; data NULL without momentum */
    void *bias_velocity;
    Matrix turned, turned_velocity;   /* the same as (n_in, n_out), in tiny networks alone */
    Matrix x, y;                      /* a feature a row: (n_in, samples) and (n_out, samples) */
    Matrix x_rows, y_rows;            /* a sample a row */
    Matrix kept, kept_rows;           /* y, or the activation's argument where its derivative needs that */
    Matrix dz, dz_rows;               /* training: gradient by the activation's argument */
} Layer;

typedef struct SGD {
    double lr, momentum, weight_decay;
    int nesterov;
} SGD;
#endif
