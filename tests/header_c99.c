/* The public header, alone, in C99. Compiling this file is the test. */
#include <flashtp/flashtp.h>
