package ebpf

// The objects are built with clang 14 or newer and committed, so that building Weft needs Go alone. -fdebug-prefix-map keeps
// the directory of the build out of them.
//
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -go-package ebpf -output-stem weft -target bpfel -cc clang -strip llvm-strip -cflags "-O2 -g -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Werror -fno-strict-aliasing -fdebug-prefix-map=$PWD=." -type host -type endpoint -type ep_run -type network -type peer -type mac_key -type mac_val -type addr_key -type addr_val -type neighbor -type spoof_key -type router -type rif -type lpm_key -type route_val -type rmac -type local_key -type flood_key -type flood_val -type flow_key -type flow_val -type conn_key -type conn_val -type frag_key -type frag_val -type polclass_key -type polrule_key -type polrule -type rule_hits -type rule_id -type drop_key -type counter -type event -type punt -type record -type test_in -type ip weft ../../../bpf/weft.c
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -go-package ebpf -output-stem bare -target bpfel -cc clang -strip llvm-strip -cflags "-O2 -g -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Werror -fno-strict-aliasing -fdebug-prefix-map=$PWD=." bare ../../../bpf/bare.c
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -go-package ebpf -output-stem lost -target bpfel -cc clang -strip llvm-strip -cflags "-O2 -g -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Werror -fno-strict-aliasing -fdebug-prefix-map=$PWD=." -type lost_key -type lost_count -type lost_event lost ../../../bpf/lost.c
