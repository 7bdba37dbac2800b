#!/bin/sh
# Makes a Debian 12 system for i386 of the distribution's packages, as a disk that boots through GRUB, for the tests that boot real systems:
#
#   Tests/Guests/debian.sh FOLDER [--desktop]
#
#   FOLDER/deb/disk.img     an MBR, GRUB, one partition with ext4; root logs in by itself on tty1 and ttyS0
#   FOLDER/deb/vmlinuz      its kernel, and initrd.img beside it
#   FOLDER/deb/desktop.img  with --desktop: X and icewm too, `startx` starts them
#
# MIRROR names another archive than deb.debian.org. Needs: root, mmdebstrap, e2fsprogs, fdisk (sfdisk), a processor that runs 32-bit programs; the network for the packages; five minutes.
set -eu
folder=${1:?usage: debian.sh FOLDER [--desktop]}
desktop=${2:-}
[ "$(id -u)" = 0 ] || { echo "root has to make a root file system" >&2; exit 1; }
for tool in mmdebstrap mke2fs sfdisk dpkg-deb; do
  command -v "$tool" >/dev/null || { echo "missing: $tool" >&2; exit 1; }
done
mkdir -p "$folder/deb"
folder=$(cd "$folder/deb" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

base="linux-image-686-pae,systemd-sysv,udev,kmod,e2fsprogs,dosfstools,fdisk,hdparm,pciutils,procps,iproute2,iputils-ping,isc-dhcp-client,\
ethtool,wget,curl,ca-certificates,openssh-server,alsa-utils,acpid,less"
graphics="xserver-xorg-core,xserver-xorg-video-cirrus,xserver-xorg-video-vesa,xserver-xorg-video-fbdev,xserver-xorg-input-libinput,xinit,\
x11-xserver-utils,x11-utils,x11-apps,icewm,xterm,dbus,libpam-systemd"

# NAME PACKAGES MEGABYTES
build() {
  root=$work/$1
  mmdebstrap --quiet --arch=i386 --variant=minbase --include="$2" bookworm "$root" "${MIRROR:-http://deb.debian.org/debian}"
  echo deb >"$root/etc/hostname"
  echo '/dev/sda1 / ext4 errors=remount-ro 0 1' >"$root/etc/fstab"
  sed -i 's/^root:[^:]*:/root::/' "$root/etc/shadow"
  for service in getty@tty1 serial-getty@ttyS0; do
    mkdir -p "$root/etc/systemd/system/$service.service.d"
    printf '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200,9600 %%I $TERM\n' \
      >"$root/etc/systemd/system/$service.service.d/autologin.conf"
  done
  kernel=$(basename "$(ls "$root"/boot/vmlinuz-* | tail -1)")
  cp "$root/boot/$kernel" "$folder/vmlinuz"
  cp "$root/boot/initrd.img-${kernel#vmlinuz-}" "$folder/initrd.img"
  mkdir -p "$root/boot/grub/i386-pc"
  cp grub/usr/lib/grub/i386-pc/*.mod grub/usr/lib/grub/i386-pc/*.lst "$root/boot/grub/i386-pc/"
  cat >"$root/boot/grub/grub.cfg" <<CFG
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=1
menuentry "Debian" {
  linux /boot/$kernel root=/dev/sda1 rw console=tty0 console=ttyS0,115200 net.ifnames=0
  initrd /boot/initrd.img-${kernel#vmlinuz-}
}
menuentry "Debian without a serial console" {
  linux /boot/$kernel root=/dev/sda1 rw net.ifnames=0
  initrd /boot/initrd.img-${kernel#vmlinuz-}
}
CFG
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  truncate -s "$3M" "$1.img"
  printf 'label: dos\nlabel-id: 0xa9050001\nstart=2048, type=83, bootable\n' | sfdisk -q "$1.img"
  mke2fs -q -t ext4 -O ^metadata_csum_seed -d "$root" -E offset=1048576 "$1.img" "$(($3 - 1))M"
  # GRUB's first sector starts what is behind it, and that reads modules of partition 1.
  dd if=grub/usr/lib/grub/i386-pc/boot.img of="$1.img" bs=440 count=1 conv=notrunc 2>/dev/null
  dd if=core.img of="$1.img" bs=512 seek=1 conv=notrunc 2>/dev/null
  mv "$1.img" "$folder/$1.img"
  rm -rf "$root"
  echo "$folder/$1.img"
}

mkdir grub
for package in grub-pc-bin grub-common; do
  apt-get download "$package" >/dev/null 2>&1 && dpkg-deb -x "$package"_*.deb grub
done
LD_LIBRARY_PATH='' grub/usr/bin/grub-mkimage -O i386-pc -d grub/usr/lib/grub/i386-pc -o core.img \
  -p '(hd0,msdos1)/boot/grub' biosdisk part_msdos ext2
build disk "$base" 1500
[ "$desktop" != --desktop ] || build desktop "$base,$graphics" 2200
