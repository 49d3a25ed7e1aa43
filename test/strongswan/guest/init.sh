#!/bin/sh
# The first process of the guest: puts a writable layer over the machine's file system, makes that the
# root, and runs the command there. LAYER, RUN and JOB
# are folders of the machine, from the kernel's command line.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
stty -opost </dev/console 2>/dev/null

mount -t proc proc /proc
mount -t tmpfs run /run
LD_LIBRARY_PATH=$LAYER/usr/lib/x86_64-linux-gnu "$LAYER/usr/sbin/insmod" \
  "$LAYER/usr/lib/modules/$(uname -r)/kernel/fs/overlayfs/overlay.ko"
mkdir /run/upper /run/work /run/root /run/layer
mount -t hostfs -o "$LAYER" none /run/layer
mount -t overlay -o lowerdir=/run/layer:/,upperdir=/run/upper,workdir=/run/work overlay /run/root

cd /run/root || exit 1
mount -t proc proc proc
mount -t sysfs sys sys
mount -t devtmpfs dev dev 2>/dev/null
[ -c dev/null ] || mknod -m 666 dev/null c 1 3
mount -t tmpfs run run
# What is written here is on the machine.
mkdir -p "./$RUN"
mount -t hostfs -o "$RUN" none "./$RUN"
mkdir -p run/old run/netns
# And not chroot, because the kernel looks for modprobe in the root of the first process.
pivot_root . run/old
exec chroot . /bin/sh "${0%/*}/run.sh" </dev/null >/dev/console 2>&1
