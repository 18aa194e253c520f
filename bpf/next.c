/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The data plane with another layout of connections, as a later build may have it: for tests of upgrade and rollback. */
#define CONN_EXTRA __u64 next_first;
#include "weft.c"
