#!/bin/sh
# image.sh DIR: make DIR/base.img, DIR/vmlinuz and DIR/initrd: a small Debian bookworm with Debian's kernel, systemd, cron and sshd. As root; needs
# debootstrap, e2fsprogs and 3 GiB. DIR/guest must be there: what answers in the guest.
set -eu
dir=$1
root=$dir/root
umask 022
if [ ! -e "$root/.complete" ]; then
	rm -rf "$root"
	debootstrap --variant=minbase --include=systemd,systemd-sysv,libpam-systemd,dbus,udev,kmod,procps,passwd,login,cron,openssh-server,openssh-client,nftables,iproute2,iputils-ping,netcat-openbsd,e2fsprogs,librandomx0,less,bpftool,wget,linux-image-amd64 \
		bookworm "$root" "${MIRROR:-http://deb.debian.org/debian}" >"$dir/debootstrap.log"
	# A package that is kept, so that files can be restored from it.
	chroot "$root" apt-get install --reinstall --download-only -y less
	mkdir -p "$root/srv/packages"
	cp "$root"/var/cache/apt/archives/less_*.deb "$root/srv/packages/"
	chroot "$root" apt-get clean
	touch "$root/.complete"
fi
cp "$root"/boot/vmlinuz-* "$dir/vmlinuz"
cp "$root"/boot/initrd.img-* "$dir/initrd"

echo bench >"$root/etc/hostname"
printf '127.0.0.1 localhost bench\n::1 localhost\n' >"$root/etc/hosts"
printf '/dev/vda / ext4 defaults 0 1\n' >"$root/etc/fstab"
: >"$root/etc/machine-id"
mkdir -p "$root/etc/systemd/network" "$root/host" "$root/root/.ssh"
printf '[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n' >"$root/etc/systemd/network/eth0.network"
# The journal survives a power cut, so that it can be read afterwards.
mkdir -p "$root/var/log/journal" "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=persistent\nSyncIntervalSec=5s\n' >"$root/etc/systemd/journald.conf.d/bench.conf"
install -m 755 "$dir/guest" "$root/usr/local/sbin/bench-guest"
cat >"$root/etc/systemd/system/bench-guest.service" <<'UNIT'
[Unit]
Description=answers the bench
After=local-fs.target
[Service]
ExecStart=/usr/local/sbin/bench-guest -guest
Restart=always
RestartSec=1
OOMScoreAdjust=-900
[Install]
WantedBy=multi-user.target
UNIT
chroot "$root" systemctl enable -q bench-guest.service systemd-networkd.service ssh.service cron.service
chroot "$root" systemctl mask -q systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer
for user in alice bob; do
	grep -q "^$user:" "$root/etc/passwd" || chroot "$root" useradd -m -s /bin/bash "$user"
	echo "$user:correct-horse" | chroot "$root" chpasswd
done
rm -rf "$root/var/cache/apt/archives"/*.deb "$root/var/lib/apt/lists"/*_*
rm -f "$dir/new.img"
mke2fs -q -t ext4 -L root -d "$root" "$dir/new.img" 3G
mv "$dir/new.img" "$dir/base.img"
