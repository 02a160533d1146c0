/* What becomes of an element, kept or dropped: each elementwise operation once, for the CPU and CUDA.
 *
 * An operation says how many arrays it reads, whether the last of them is a bias (one element for each column), and
 * whether its results are also summed over rows. `apply` computes in float or double: V is one element on a GPU and a
 * register of them on the CPU, `kept` says which are kept, `by` holds the call's numbers. float16 and bfloat16 are
 * computed in float and rounded once.
 *
 * Dropped elements are selected away, never multiplied by zero, so that a dropped inf or NaN gives +0. The includer
 * defines zero_unless(kept, x), kept_or(kept, x, otherwise), relu(z) and zero_unless_positive(z, x), and includes
 * math.h before this.
 *
 * To add an operation: a struct here, its place in the list at the end, and a function in fastdrop/reference.py.
 */
#ifndef FASTDROP_OPERATIONS_H
#define FASTDROP_OPERATIONS_H

#include "shared/portable.h"

/* What elements are multiplied by, and what is added to them. */
template <typename real>
struct affine {
    real scale, shift;
};

namespace op {

/* What alpha dropout sets dropped elements to: -lambda * alpha of SELU, its limit towards -infinity
 * (Klambauer, Unterthiner, Mayr, Hochreiter: "Self-normalizing neural networks", NIPS 2017). */
constexpr double ALPHA_DROPPED = -1.7580993408473766;

/* The properties of most operations; an operation redefines those that differ. */
struct elementwise {
    static constexpr int inputs = 1;
    static constexpr bool has_bias = false, has_sums = false;
};

/* y = kept ? x * scale : 0. With a scale of 1, kernels copy the bits of kept elements instead (op::select). */
struct dropout : elementwise {
    static constexpr const char *name = "dropout";
    template <typename Kept, typename Affine, typename V>
    FD_INLINE V apply(Kept kept, Affine by, V x) {
        return FD_FAULT(dropped_times_zero, zero_unless(kept, x * by.scale), x * zero_unless(kept, V{} + by.scale));
    }
};

/* y = x * scale: no mask. */
struct multiply : elementwise {
    static constexpr const char *name = "multiply";
    template <typename Kept, typename Affine, typename V>
    FD_INLINE V apply(Kept, Affine by, V x) {
        return x * by.scale;
    }
};

/* y = dropout(x) + residual */
struct dropout_add : elementwise {
    static constexpr const char *name = "dropout_add";
    static constexpr int inputs = 2;
    template <typename Kept, typename Affine, typename V>
    FD_INLINE V apply(Kept kept, Affine by, V x, V residual) {
        return zero_unless(kept, x * by.scale) + residual;
    }
};

/* y = dropout(relu(x + bias)) */
struct bias_relu : elementwise {
    static constexpr const char *name = "bias_relu";
    static constexpr int inputs = 2;
    static constexpr bool has_bias = true;
    template <typename Kept, typename Affine, typename V>
    FD_INLINE V apply(Kept kept, Affine by, V x, V bias) {
        const V z = x + bias;
        return zero_unless(kept, FD_FAULT(relu_of_nan, relu(z), z > 0 ? z : V{}) * by.scale);
    }
};

/* y = dropout(gelu(x + bias)) */
struct bias_gelu : elementwise {
    static constexpr const char *name = "bias_gelu";
    static constexpr int inputs = 2;
    static constexpr bool has_bias = true;
    template <typename Kept, typename Affine, typename V>
    FD_INLINE V apply(Kept kept, Affine by, V x, V bias) {
        return zero_unless(kept, gelu(x + bias) * by.scale);
    }
};

/* y = kept ? x * scale : otherwise */
struct blend : elementwise {
    static constexpr const char *name = "blend";
    static constexpr int inputs = 2;
    template <typename Kept, typename Affine, typename V>
    FD_INLINE V apply(Kept kept, Affine by, V x, V otherwise) {
        return kept_or(kept, x * by.scale, FD_FAULT(otherwise_scaled, otherwise, otherwise * by.scale));
    }
};

/* y = (kept ? x : ALPHA_DROPPED) * scale + shift */
struct alpha : elementwise {
    static constexpr const char *name = "alpha";
    template <typename Kept, typename real, typename V>
    FD_INLINE V apply(Kept kept, affine<real> by, V x) {
        const V dropped = V{} + (real)FD_FAULT(alpha_dropped, ALPHA_DROPPED, 0);
        return kept_or(kept, x, dropped) * by.scale + FD_FAULT(alpha_shift, by.shift, 0);
    }
};

/* dx = kept ? dy * scale * relu'(x + bias) : 0; sums += dx */
struct bias_relu_backward : elementwise {
    static constexpr const char *name = "bias_relu_backward";
    static constexpr int inputs = 3;
    static constexpr bool has_bias = true, has_sums = true;
    template <typename Kept, typename Affine, typename V>
    FD_INLINE V apply(Kept kept, Affine by, V dy, V x, V bias) {
        const V z = FD_FAULT(backward_without_bias, x + bias, x);
        return zero_unless(kept, zero_unless_positive(z, dy * by.scale));
    }
};

/* dx = kept ? dy * scale * gelu'(x + bias) : 0; sums += dx */
struct bias_gelu_backward : elementwise {
    static constexpr const char *name = "bias_gelu_backward";
    static constexpr int inputs = 3;
    static constexpr bool has_bias = true, has_sums = true;
    template <typename Kept, typename Affine, typename V>
    FD_INLINE V apply(Kept kept, Affine by, V dy, V x, V bias) {
        return zero_unless(kept, dy * by.scale * gelu_derivative(x + bias));
    }
};

template <typename... Operations>
struct list {};

/* Numbered by their places. */
using all =
    list<dropout, multiply, dropout_add, bias_relu, bias_gelu, blend, alpha, bias_relu_backward, bias_gelu_backward>;

} // namespace op

#endif
