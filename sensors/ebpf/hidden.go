package ebpf

import "time"

type hidden struct{ every time.Duration }
