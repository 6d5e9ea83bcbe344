package sensors

import (
	"context"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/recording"
	"github.com/minewarden/minewarden/sensors/capture"
	"github.com/minewarden/minewarden/sensors/evtx"
	"github.com/minewarden/minewarden/sensors/journal"
	"github.com/minewarden/minewarden/sensors/logfile"
)

// HeadLen is how much of a file Reader.Match is given.
const HeadLen = 4096

// A Reader turns a file into events. It is chosen by content: the first whose Match is true of the file's head.
type Reader struct {
	Name  string
	Title string
	Match func(head []byte) bool
	// Read emits the file's events until it ends or ctx is done. What can be skipped is told to bad and skipped; an error
	// means that the rest could not be read.
	Read func(ctx context.Context, path string, bad func(error), emit minewarden.Emit) error
}

// Readers returns every reader. Those whose Match is weaker come later.
func Readers() []Reader {
	return []Reader{
		{"capture", "captured packets: pcap or pcapng, plain or packed", capture.Is, capture.Read},
		{"recording", "recorded events", recording.Is, func(ctx context.Context, path string, bad func(error), emit minewarden.Emit) error {
			return recording.File{Path: path, Bad: bad}.Run(ctx, emit)
		}},
		{"evtx", evtx.Info().Title, evtx.Match, evtx.Read},
		{"evtx-xml", "events of Windows as XML", evtx.MatchXML, evtx.ReadXML},
		{"journal", "journald's files", journal.Match, journal.Read},
		{"logfile", "logs that are text", logfile.Match, logfile.Read},
	}
}
