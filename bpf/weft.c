/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The data plane: all programs in one object, so that they share its maps. */
#include "from_instance.c"
#include "from_overlay.c"
#include "from_physical.c"
#include "instance.c"
#include "overlay.c"
#include "route.c"
#include "output.c"
#include "physical.c"
#include "outside.c"
#include "floating.c"
#include "nat.c"
#include "flood.c"
#include "answer.c"
#include "expire.c"
#include "adopt.c"
#include "gate.c"
#include "learn.c"

char __license[] SEC("license") = "Dual BSD/GPL";
