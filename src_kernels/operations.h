/* What happens to an element beside being kept or dropped. Shared by C and CUDA. */
#ifndef FASTDROP_OPERATIONS_H
#define FASTDROP_OPERATIONS_H

/* Operand 0 is written, the others are read; in a backward operation the last one is added to. float16 and bfloat16 are
 * computed in float32 and rounded once. A scale of 1 keeps x bit for bit; but for dropout alone, signalling NaNs may become
 * quiet ones. */
typedef enum {
    FD_DROPOUT,            /* y = keep(x * scale)                             y, x */
    FD_DROPOUT_ADD,        /* y = keep(x * scale) + residual                  y, x, residual */
    FD_BIAS_RELU,          /* y = keep(relu(x + bias) * scale)                y, x, bias */
    FD_BIAS_GELU,          /* y = keep(gelu(x + bias) * scale)                y, x, bias */
    FD_CHOOSE,             /* y = kept ? x * scale : second                   y, x, second */
    FD_ALPHA,              /* y = (kept ? x : FD_ALPHA_DROPPED) * scale + shift  y, x; shift is a number */
    FD_BIAS_RELU_BACKWARD, /* dx = keep(dy * scale) * relu'(x + bias)         dx, dy, x, bias, sums += dx */
    FD_BIAS_GELU_BACKWARD, /* dx = keep(dy * scale) * gelu'(x + bias)         dx, dy, x, bias, sums += dx */
    FD_OPERATIONS
} fd_operation;

/* What alpha dropout puts in a dropped element's place: -lambda * alpha of SELU, its limit towards -infinity
 * (Klambauer, Unterthiner, Mayr, Hochreiter: "Self-normalizing neural networks", NIPS 2017). */
#define FD_ALPHA_DROPPED -1.7580993408473766

#endif
