// Package capture reports what the network carries: conversations, the bytes of those that may be mining, and what the
// handshakes of other protocols show. It reads capture files and, live, every interface.
package capture

import _ "embed"

//go:embed README.md
var doc string
