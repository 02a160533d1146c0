/* The kernels of one dtype: body.h says what the macros are. */
#include "body_elementwise.h"
#include "body_gaussian.h"
#include "body_softmax.h"
#include "body_transposed.h"

#undef T
#undef W
#undef NAME
#undef LOAD
#undef NEAR
#undef STORE
#undef STREAM
