# A writer under memory.max, if LIMIT is given: where is it stopped?
: ${LIMIT=} ${MIB=256}
make_cgroup test.slice; set_limit test.slice memory.max $LIMIT
set_limit test.slice memory.swap.max 0; tmpfs_loop 512M; trace_on loop0
direct_dd test.slice bs=1M count=$MIB; trace_off
