/* All that is compiled once per element type. */
#include "vector.h"
#include "tile.h"
#include "elementwise.h"

#undef REAL
#undef INT
#undef SUFFIX
#undef REAL_IS_FLOAT
#undef REAL_MIN
#undef REAL_INFINITY
#undef REAL_NAN
#undef LANES
#undef vec
#undef ivec
#undef ROUND_MAGIC
#undef LOG2_E
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_OVERFLOW
#undef EXP_UNDERFLOW
#undef EXP_TERMS
#undef MANTISSA_BITS
#undef EXPONENT_BIAS
#undef NR
#undef LEAKY_SLOPE
#undef WHERE
#undef SPLAT
