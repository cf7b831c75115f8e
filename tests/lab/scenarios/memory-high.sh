# Two writers, a with memory.high if HIGH is given: how long does it sleep, and b wait?
: ${HIGH=} ${MIB_A=28} ${MIB_B=8}
make_cgroup a; make_cgroup b; set_limit a memory.high $HIGH
set_limit a memory.swap.max 0; tmpfs_loop 512M; trace_on loop0
direct_dd a bs=1M count=$MIB_A & first=$!
sleep 1; direct_dd b bs=1M seek=64 count=$MIB_B; wait $first; trace_off
