#!/bin/sh
# Build the lab's small kernel with io.latency, of Debian's source package.
# usage: build_kernel.sh [RELEASE]      as root, on Debian; half an hour on one processor
# It is then `--kernel RELEASE-iolatency` of `python -m lab.record_scenario`;
# `make record-iolatency` does both.
set -eu
release=${1:-6.1}
here=$(dirname "$(realpath "$0")")
place=$here/../../build/lab/$release-iolatency
[ ! -d "$place/kernel" ] || exit 0
# of a make that called this: the kernel's is another
unset MAKEFLAGS MFLAGS MAKELEVEL
mkdir -p "$place/source"; cd "$place"
apt-get install -y --no-install-recommends "linux-source-$release" bc bison flex \
  libelf-dev gcc make perl xz-utils
tar xf "/usr/src/linux-source-$release.tar.xz" -C source --strip-components 1
cd source
make -s tinyconfig
./scripts/kconfig/merge_config.sh -m .config "$here/iolatency.config" > /dev/null
make -s olddefconfig
grep -q '^CONFIG_BLK_CGROUP_IOLATENCY=y' .config
nice make -j"${JOBS:-1}" bzImage
name=$(make -s kernelrelease)
# as a package of Debian's is unpacked; it has no modules
mkdir -p ../kernel.part/boot "../kernel.part/lib/modules/$name/kernel"
cp arch/x86/boot/bzImage "../kernel.part/boot/vmlinuz-$name"
mv ../kernel.part ../kernel
