package sigma

import "strings"

// guess says how often a test is true of ordinary events. It decides only what a rule hangs on, so a wrong guess costs
// time and never a match.
func guess(p *pred) float64 {
	seen := 0
	for _, line := range ordinary {
		ok := false
		switch p.op {
		case opContains:
			ok = strings.Contains(line, p.lit)
		case opSuffix:
			ok = strings.HasSuffix(line, p.lit)
			if word, _, _ := strings.Cut(line, " "); strings.HasSuffix(word, p.lit) {
				ok = true
			}
		case opPrefix:
			ok = strings.HasPrefix(line, p.lit)
		case opEqual:
			ok = line == p.lit
		}
		if ok {
			seen++
		}
	}
	often := float64(seen) / float64(len(ordinary))
	if p.op == opEqual {
		return max(often, 0.002)
	}
	// Below the corpus' resolution, length decides.
	return max(often, 0.3/float64(uint64(1)<<min(len(p.lit)+1, 20)))
}

// ordinary is what command lines and paths look like on machines where nothing is wrong, folded. Our own words.
var ordinary = strings.Split(strings.TrimSpace(`
c:\windows\system32\svchost.exe -k netsvcs -p -s schedule
c:\windows\system32\svchost.exe
c:\windows\system32\cmd.exe /c "c:\program files\vendor\agent\update.bat" -silent
c:\windows\system32\cmd.exe
c:\windows\system32\cmd.exe /c echo %temp% & dir /b > c:\users\user\appdata\local\temp\out.txt
c:\windows\system32\windowspowershell\v1.0\powershell.exe -noprofile -executionpolicy bypass -file c:\scripts\backup.ps1
c:\windows\system32\windowspowershell\v1.0\powershell.exe
powershell.exe -noninteractive -command "get-service | where-object {$_.status -eq 'running'} | select-object name"
c:\windows\system32\rundll32.exe c:\windows\system32\shell32.dll,control_rundll
c:\windows\system32\rundll32.exe
c:\windows\system32\conhost.exe 0xffffffff -forcev1
c:\windows\system32\conhost.exe
c:\program files\google\chrome\application\chrome.exe --type=renderer --lang=en-us --http://www.example.com/index.html
c:\program files\google\chrome\application\chrome.exe
c:\program files (x86)\microsoft\edge\application\msedge.exe --profile-directory=default https://portal.example.com
c:\program files\microsoft office\root\office16\winword.exe /n "c:\users\user\documents\report.docx"
c:\program files\microsoft office\root\office16\excel.exe
c:\windows\explorer.exe
c:\windows\explorer.exe /factory,{75dff2b7-6936-4c06-a8bb-676a7b00b24b} -embedding
c:\windows\system32\services.exe
c:\windows\system32\lsass.exe
c:\windows\system32\wbem\wmiprvse.exe -secured -embedding
c:\windows\system32\wbem\wmic.exe os get caption /value
c:\windows\system32\msiexec.exe /i c:\users\user\downloads\setup.msi /quiet /norestart
c:\windows\system32\msiexec.exe
c:\windows\system32\net.exe use z: \\server\share /user:domain\user
c:\windows\system32\net1.exe user
c:\windows\system32\sc.exe query state= all
c:\windows\system32\reg.exe query hklm\software\microsoft\windows\currentversion /v programfilesdir
c:\windows\system32\reg.exe add hkcu\software\vendor /v key /t reg_dword /d 1 /f
c:\windows\system32\schtasks.exe /query /fo csv /v
c:\windows\system32\regsvr32.exe /s c:\program files\vendor\lib.dll
c:\windows\system32\wscript.exe c:\windows\scripts\logon.vbs //b
c:\windows\system32\cscript.exe //nologo c:\program files\agent\check.vbs
c:\windows\system32\mshta.exe
c:\windows\system32\certutil.exe -store my
c:\windows\system32\whoami.exe
c:\windows\system32\ping.exe -n 1 127.0.0.1
c:\windows\system32\ipconfig.exe /all
c:\windows\system32\tasklist.exe
c:\windows\system32\taskkill.exe /f /im app.exe
c:\windows\system32\bitsadmin.exe
c:\windows\system32\notepad.exe c:\users\user\desktop\notes.txt
c:\windows\microsoft.net\framework64\v4.0.30319\csc.exe /noconfig /fullpaths @"c:\users\user\appdata\local\temp\x.cmdline"
c:\windows\system32\backgroundtaskhost.exe -servername:app.appx
c:\windows\system32\taskhostw.exe install $(arg0)
c:\windows\system32\dllhost.exe /processid:{ab8902b4-09ca-4bb6-b78d-a8f59079a8d5}
c:\programdata\microsoft\windows defender\platform\4.18\mpcmdrun.exe signatureupdate
c:\windows\syswow64\cmd.exe
c:\users\user\appdata\local\microsoft\onedrive\onedrive.exe /background
c:\users\public\app\app.exe
nt authority\system
windows powershell
microsoft corporation
microsoft® windows® operating system
cmd.exe
powershell.exe
rundll32.exe
system
high
medium
/usr/bin/bash -c "cd /opt/app && ./run.sh --port=8080 >> /var/log/app.log 2>&1"
/bin/bash
/bin/sh -c test -x /usr/sbin/anacron || run-parts --report /etc/cron.daily
/usr/bin/sh
/bin/sh
/usr/bin/dash
/usr/bin/python3 /usr/lib/python3/dist-packages/app/main.py --config /etc/app/config.json
/usr/bin/python3
/usr/bin/perl -w /usr/bin/report -n 10
/usr/bin/grep -r pattern /home/user/src
/usr/bin/grep
/usr/bin/cat /etc/hostname /proc/cpuinfo
/usr/bin/cat
/usr/bin/ls -la /tmp
/usr/bin/find / -name *.log -type f
/usr/bin/sed -i s/a/b/ /etc/conf.d/file
/usr/bin/awk {print $1}
/usr/bin/curl -s -o /dev/null https://localhost/health
/usr/bin/curl
/usr/bin/wget -q http://mirror.example.org/file.tar.gz
/usr/bin/ssh user@host uptime
/usr/sbin/sshd -d -r
/usr/bin/sudo systemctl restart nginx
/usr/bin/systemctl status
/usr/bin/git fetch origin --prune
/usr/bin/make -j4 all
/usr/lib/gcc/x86_64-linux-gnu/13/cc1 -quiet -i include src.c -o out.o
/usr/bin/docker ps -a
/usr/bin/node /srv/app/server.js
/usr/bin/tar -czf /backup/home.tar.gz /home
/usr/bin/chmod +x /usr/local/bin/tool
/usr/bin/rm -rf /tmp/build
/usr/bin/crontab -l
/usr/bin/base64 -d
/usr/bin/id -u
root
`), "\n")
