#!/bin/busybox sh
# The first process of the Linux workload.
/bin/busybox mkdir -p /proc /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
BUSYBOX=/bin/busybox WORK=/tmp /bin/busybox sh /workload.sh gzip shell fork pipe
# Whoever listens ends the machine; nothing more happens here.
while :; do /bin/busybox sleep 1000; done
