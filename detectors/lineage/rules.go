package lineage

import "github.com/minewarden/minewarden"

// Rule ids.
const (
	ruleServiceFetch  = "lineage/service-fetch"
	ruleServicePipe   = "lineage/service-pipe"
	ruleServiceRun    = "lineage/service-run"
	ruleServiceChain  = "lineage/service-chain"
	ruleServiceTamper = "lineage/service-tamper"
	ruleReverse       = "lineage/reverse-shell"
	rulePipe          = "lineage/pipe"
	ruleFetchRun      = "lineage/fetch-run"
	ruleFetchRunOdd   = "lineage/fetch-run-odd"
	ruleInstall       = "lineage/install-script"
	ruleMiner         = "lineage/miner-command"
	ruleMinerFetch    = "lineage/miner-fetch"
	ruleMinerName     = "lineage/miner-name"
	ruleMinerSource   = "lineage/miner-source"
	ruleRivals        = "lineage/rivals"
	ruleTamper        = "lineage/tamper"
	ruleLoader        = "lineage/loader"
	ruleMemory        = "lineage/memory-run"
	ruleMemoryBefore  = "lineage/memory-existing"
	ruleMemoryCopy    = "lineage/memory-copy"
	ruleDeleted       = "lineage/deleted-run"
	ruleShared        = "lineage/shared-memory-run"
	rulePreload       = "lineage/preload-odd"
	rulePreloadHere   = "lineage/preload"
)

const contain = "Contain the process tree, keep what it fetched as evidence, and look for the request, job or hook that started it in the service's log."

var rules = []minewarden.Rule{
	{
		ID: ruleServiceFetch, Title: "A service's child fetches a file from another machine", Severity: minewarden.Low, Technique: []string{"T1105"},
		Advice: "Check whether this service has a reason to fetch this. If not, look for the request that made it do so.",
	},
	{ID: ruleServicePipe, Title: "A service's child feeds fetched or decoded bytes to a shell", Severity: minewarden.High, Technique: []string{"T1059.004", "T1105", "T1140"}, Advice: contain},
	{ID: ruleServiceRun, Title: "A service's child runs a program from a writable, hidden or vanished place", Severity: minewarden.Medium, Technique: []string{"T1059.004"}, Advice: contain},
	{ID: ruleServiceChain, Title: "A service's child fetched a program and ran it", Severity: minewarden.High, Technique: []string{"T1190", "T1059.004", "T1105"}, Advice: contain},
	{
		ID: ruleServiceTamper, Title: "A service's child changes defences, logs or persistence", Severity: minewarden.Medium, Technique: []string{"T1562.001", "T1562.004", "T1070.002", "T1053.003"},
		Advice: "Undo the change unless this service manages the machine, and look for what else this child did.",
	},
	{ID: ruleReverse, Title: "A shell is connected to the network", Severity: minewarden.High, Technique: []string{"T1059.004", "T1071"}, Advice: contain},
	{
		ID: rulePipe, Title: "Fetched or decoded bytes are fed to a shell", Severity: minewarden.Low, Technique: []string{"T1059.004", "T1105"},
		Advice: "Installers are often run like this. Check that somebody here meant to, and the address.",
	},
	{
		ID: ruleFetchRun, Title: "A program was fetched and run from a temporary place", Severity: minewarden.Low, Technique: []string{"T1105"},
		Advice: "Installers do this. Check that somebody here meant to, and the address.",
	},
	{
		ID: ruleFetchRunOdd, Title: "A program was fetched from a bare address or paste site, or to a hidden place, and run", Severity: minewarden.Medium, Technique: []string{"T1105", "T1564.001"},
		Advice: "Find out who logged in or which job ran this. If nobody knows it: " + contain,
	},
	{
		ID: ruleInstall, Title: "A package's install script fetched a program from an odd address and ran it", Severity: minewarden.High, Technique: []string{"T1195.002", "T1059.007", "T1105"},
		Advice: "Stop the installation, remove the package and its lock entry, and rotate the credentials that this user or runner holds.",
	},
	{
		ID: ruleMiner, Title: "A command line starts a miner", Severity: minewarden.High, Technique: []string{"T1496.001"},
		Advice: "If nobody here mines on purpose, contain the process tree and block the pool.",
	},
	{
		ID: ruleMinerFetch, Title: "A public miner or its set-up script is fetched", Severity: minewarden.High, Technique: []string{"T1105", "T1588.002"},
		Advice: "If nobody here mines on purpose, contain the process tree and remove what it fetched.",
	},
	{ID: ruleMinerName, Title: "A program has the stock name of a miner", Severity: minewarden.Low, Technique: []string{"T1496.001"}, Advice: "Look at its executable and its connections."},
	{ID: ruleMinerSource, Title: "The source code of a miner is fetched", Severity: minewarden.Low, Technique: []string{"T1588.002"}, Advice: "Researchers do so too. Look at what is built from it and where it runs."},
	{
		ID: ruleRivals, Title: "Many miners are looked for and ended", Severity: minewarden.Medium, Technique: []string{"T1489", "T1057"},
		Advice: "Loaders remove their rivals first. If nobody here is cleaning up, look at what the same script starts.",
	},
	{
		ID: ruleTamper, Title: "Defences, logs or history are switched off or removed", Severity: minewarden.Low, Technique: []string{"T1562.001", "T1562.004", "T1070.002", "T1070.003"},
		Advice: "Check that an administrator meant to.",
	},
	{
		ID: ruleLoader, Title: "One script weakens defences and prepares the machine for mining", Severity: minewarden.High,
		Technique: []string{"T1562.001", "T1562.004", "T1070.003", "T1489", "T1496.001"}, Advice: contain,
	},
	{
		ID: ruleMemory, Title: "A program runs from memory, without a file", Severity: minewarden.Medium, Technique: []string{"T1620"},
		Advice: "Few honest programs do so. Collect its memory before it ends, then look at who started it.",
	},
	{
		ID: ruleMemoryBefore, Title: "A program that ran before anybody watched runs from memory, without a file", Severity: minewarden.Low, Technique: []string{"T1620"},
		Advice: "Container runtimes and services that seal themselves do so. What started it was not seen: look at its parent, its connections and what it uses.",
	},
	{
		ID: ruleMemoryCopy, Title: "A packaged program goes on in memory under its own arguments", Severity: minewarden.Low, Technique: []string{"T1620"},
		Advice: "Programs that protect themselves from the containers they start do so. If this one starts none, compare /proc/PID/exe with its file.",
	},
	{
		ID: ruleDeleted, Title: "A program from a temporary place runs though its file is gone", Severity: minewarden.Medium, Technique: []string{"T1070.004"},
		Advice: "The file can still be copied from /proc/PID/exe. Look at who started it.",
	},
	{
		ID: rulePreload, Title: "A program is started with a library from a hidden place, or by a service with one that anybody could have written", Severity: minewarden.Medium, Technique: []string{"T1574.006"},
		Advice: "The library can change what the program does and hides. Keep a copy of it, and look at who put it there and what else is started so.",
	},
	{
		ID: rulePreloadHere, Title: "A program is started with a library from a place that everybody may write to", Severity: minewarden.Low, Technique: []string{"T1574.006"},
		Advice: "Tests do so. Check that somebody here meant to.",
	},
	{ID: ruleShared, Title: "A program runs from shared memory", Severity: minewarden.Low, Technique: []string{"T1036.005"}, Advice: "Look at the file and who put it there."},
}
