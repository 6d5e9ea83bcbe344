package windowshost

import "github.com/minewarden/minewarden"

// A claim is a rule and what must be true of it.
type claim uint8

const (
	none claim = iota
	elsewhere
	parent
	lookalike
	miner
	serverShell
	encoded
	encodedBad
	fetch
	clearing
	defence
	serviceCommand
	servicePlace
	serviceRandom
	driver
	remoteExec
	shareWrite
	sharePipe
	task
	cleared
	numClaims
)

const (
	look   = "Look at the file, its hash and signature, and at who started it. If nobody here put it there, isolate the host and look for services, tasks and Run keys that start it again."
	moving = "Find out who used that account from that address. If it was no administrator, the account and the source are taken: isolate both hosts and change the password."
)

// rules is in the order of the claims.
var rules = [numClaims]minewarden.Rule{
	elsewhere:      {ID: "windowshost/system-name-elsewhere", Title: "A program outside the system directories has the name of a system process", Severity: minewarden.High, Technique: []string{"T1036.005"}, Advice: look},
	parent:         {ID: "windowshost/system-parent", Title: "A system process has a parent that never starts it", Severity: minewarden.High, Technique: []string{"T1036.005", "T1055.012"}, Advice: look},
	lookalike:      {ID: "windowshost/lookalike", Title: "The name of a program is nearly that of a system process", Severity: minewarden.Medium, Technique: []string{"T1036.005"}, Advice: look},
	miner:          {ID: "windowshost/miner", Title: "A command line starts a miner", Severity: minewarden.Critical, Technique: []string{"T1496.001"}, Advice: "End the process and find what started it. " + look},
	serverShell:    {ID: "windowshost/server-shell", Title: "A server program started a shell or a system tool", Severity: minewarden.Medium, Technique: []string{"T1190", "T1505.003", "T1059"}, Advice: "Look at what the shell did and at the server's log of that minute. If the application has no reason for it, take the server to be entered."},
	encoded:        {ID: "windowshost/encoded-command", Title: "PowerShell was given an encoded command", Severity: minewarden.Low, Technique: []string{"T1059.001", "T1027.010"}, Advice: "Read the decoded command in the evidence. Management tools encode commands too."},
	encodedBad:     {ID: "windowshost/hidden-download", Title: "An encoded or hidden PowerShell command fetches or runs foreign code", Severity: minewarden.High, Technique: []string{"T1059.001", "T1027.010", "T1105"}, Advice: "Read the decoded command in the evidence. " + look},
	fetch:          {ID: "windowshost/download-by-system-tool", Title: "A tool of Windows fetches or runs foreign code", Severity: minewarden.Medium, Technique: []string{"T1105", "T1218"}, Advice: look},
	clearing:       {ID: "windowshost/log-clearing", Title: "A command clears event logs", Severity: minewarden.Medium, Technique: []string{"T1070.001"}, Advice: "Find out who ran it and why. What was logged before may be held by the collector."},
	defence:        {ID: "windowshost/defence-off", Title: "A command switches off protection or recovery", Severity: minewarden.Medium, Technique: []string{"T1562.001", "T1562.004", "T1490"}, Advice: "Switch it on again and find out who ran the command. " + look},
	serviceCommand: {ID: "windowshost/service-command", Title: "A service was installed that runs a shell command or a script", Severity: minewarden.High, Technique: []string{"T1543.003", "T1569.002"}, Advice: "Remove the service. " + look},
	servicePlace:   {ID: "windowshost/service-place", Title: "A service was installed from a directory that users may write to", Severity: minewarden.Medium, Technique: []string{"T1543.003"}, Advice: look},
	serviceRandom:  {ID: "windowshost/service-random", Title: "A service with a name made by chance was installed", Severity: minewarden.High, Technique: []string{"T1543.003", "T1569.002"}, Advice: "Programs that run commands on other hosts install such services for seconds. " + look},
	driver:         {ID: "windowshost/miner-driver", Title: "A driver that miners use to set up the processor was installed or loaded", Severity: minewarden.Medium, Technique: []string{"T1543.003", "T1068", "T1496.001"}, Advice: "Programs that show fan speeds and temperatures bring the same driver. If none is installed: " + look},
	remoteExec:     {ID: "windowshost/remote-execution", Title: "A program that runs commands on other hosts was used against this one", Severity: minewarden.High, Technique: []string{"T1021.002", "T1569.002", "T1570"}, Advice: moving},
	shareWrite:     {ID: "windowshost/share-write", Title: "A program was written through an administrative share", Severity: minewarden.Medium, Technique: []string{"T1021.002", "T1570"}, Advice: moving},
	sharePipe:      {ID: "windowshost/remote-control", Title: "Services or tasks were controlled from another host", Severity: minewarden.Low, Technique: []string{"T1021.002", "T1053.005"}, Advice: moving},
	task:           {ID: "windowshost/task", Title: "A scheduled task runs what no honest task runs", Severity: minewarden.High, Technique: []string{"T1053.005"}, Advice: "Disable the task and keep its definition. " + look},
	cleared:        {ID: "windowshost/log-cleared", Title: "An event log was cleared", Severity: minewarden.Medium, Technique: []string{"T1070.001"}, Advice: "Find out who cleared it and why. What was logged before may be held by the collector."},
}
