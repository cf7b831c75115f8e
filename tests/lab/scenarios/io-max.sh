# Readers in a, a writer in b that has io.max, if WBPS is given, on the disk below.
: ${WBPS=} ${IOS=400}
make_cgroup a; make_cgroup b; disk_file 256 on
set_limit b io.max "${WBPS:+254:32 wbps=$WBPS}"; trace_on loop0 vdc
job a read-a --rw=randread --bs=4k --iodepth=2 --size=64M --number_ios=6000 & first=$!
job b write-b --rw=randwrite --bs=64k --iodepth=4 --size=64M --offset=64M \
  --number_ios=$IOS
wait $first; trace_off
