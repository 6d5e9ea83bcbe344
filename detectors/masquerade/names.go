package masquerade

import "strings"

// threadPrefixes start the names of kernel threads; those that end in a slash need something after it.
var threadPrefixes = [...]string{
	"kworker/", "ksoftirqd/", "migration/", "cpuhp/", "watchdog/", "idle_inject/", "irq/", "jbd2/", "xfsaild/", "scsi_eh_",
	"rcu_tasks_", "rcu_exp_", "kcompactd0", "kswapd0", "btrfs-cleaner", "btrfs-transacti", "ext4-rsv-conver", "xfs-cil/", "blkcg_punt_bio", "rcuop/", "rcuog/", "rcuc/", "rcub/",
}

// threadStems are threads whose names malware takes with a letter or two more.
var threadStems = [...]string{"kworker", "kthreadd", "kdevtmpfs", "ksoftirqd", "khugepaged", "kswapd", "kauditd", "khungtaskd", "kcompactd", "kblockd", "kintegrityd"}

// installDirs are where software is installed, by packages or by an administrator.
var installDirs = [...]string{
	"/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/", "/opt/", "/snap/", "/nix/store/", "/gnu/store/", "/app/", "/srv/", "/usr/local/", "/var/lib/flatpak/",
	"/var/lib/docker/", "/var/lib/containerd/", "/run/current-system/",
}

// kernelThread says that only a kernel thread has this name, or that malware made it from one.
func kernelThread(name string) bool {
	if len(name) < 4 {
		return false
	}
	if bracketed(name) {
		name = name[1 : len(name)-1]
	}
	switch name[0] {
	case 'k', 'r', 'm', 'c', 'w', 'i', 's', 'o', 'j', 'x', 'e', 'b', 'p':
	default:
		return false
	}
	for _, k := range threadPrefixes {
		if strings.HasPrefix(name, k) && len(name) > len(k)-1 {
			// "irq/" and its like need a number.
			return k[len(k)-1] != '/' || len(name) > len(k)
		}
	}
	switch name {
	case "rcu_sched", "rcu_preempt", "rcu_bh", "rcu_gp", "rcu_par_gp", "oom_reaper", "khelper", "kpsmoused", "kthrotld", "kacpid", "kjournald", "pdflush",
		"mm_percpu_wq", "ipv6_addrconf", "edac-poller", "devfreq_wq", "ata_sff", "slub_flushwq", "kstrp", "khubd", "kseriod", "ksmd", "bioset", "kmpathd", "kmpath_rdacd":
		return true
	}
	for _, k := range threadStems {
		if strings.HasPrefix(name, k) && len(name)-len(k) <= 2 {
			return true
		}
	}
	return false
}

func windowsName(name string) bool {
	if len(name) < 4 || len(name) > 16 {
		return false
	}
	switch name[0] {
	case 's', 'l', 'c', 'w', 'e', 't', 'r', 'd', 'S', 'L', 'C':
	default:
		return false
	}
	switch strings.TrimSuffix(name, ".exe") {
	case "svchost", "lsass", "csrss", "winlogon", "smss", "wininit", "spoolsv", "taskhostw", "rundll32", "dllhost", "Svchost", "svch0st", "scvhost", "lsasss":
		return true
	case "services", "explorer", "conhost", "dwm", "taskmgr", "System", "Cmd", "cmd":
		return strings.HasSuffix(name, ".exe")
	}
	return false
}

// daemonName says that a system daemon has this name.
func daemonName(name string) bool {
	if len(name) < 3 {
		return false
	}
	switch name {
	case "systemd", "init", "sshd", "sshd-session", "cron", "crond", "anacron", "atd", "dbus-daemon", "dbus-broker", "dbus", "rsyslogd", "syslogd", "syslog-ng", "klogd", "auditd",
		"polkitd", "udevd", "NetworkManager", "networkd-dispat", "chronyd", "ntpd", "nginx", "httpd", "apache2", "mysqld", "mariadbd", "redis-server",
		"dockerd", "containerd", "snapd", "agetty", "irqbalance", "accounts-daemon", "unattended-upgr", "gdm", "gdm3", "Xorg", "acpid", "cupsd",
		"avahi-daemon", "dnsmasq", "named", "lvmetad", "multipathd", "thermald", "packagekitd", "udisksd", "upowerd", "rpcbind", "firewalld",
		"tuned", "dhclient", "wpa_supplicant", "ModemManager", "logrotate", "postmaster", "haproxy", "php-fpm", "smbd", "getty", "rngd", "smartd", "qemu-ga", "kthread", "gssproxy":
		return true
	}
	return strings.HasPrefix(name, "systemd-") && len(name) > 8 || strings.HasPrefix(name, "php-fpm") && len(name) < 12
}

// properDir says that software is installed here, by packages or by an administrator.
func properDir(path string) bool {
	for _, dir := range installDirs {
		if strings.HasPrefix(path, dir) {
			return true
		}
	}
	return strings.Count(path, "/") == 1 // in a container the program often lies in the root
}

// systemDir says that only packages put files here.
func systemDir(path string) bool {
	return (strings.HasPrefix(path, "/usr/") || strings.HasPrefix(path, "/bin/") || strings.HasPrefix(path, "/sbin/")) && !strings.HasPrefix(path, "/usr/local/")
}
