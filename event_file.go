package minewarden

// Write says that a file was made, changed or removed. The event's process did it, where known.
type Write struct {
	Path string `json:"path"`
	Op   string `json:"op"`             // create, modify, delete, rename, chmod, link
	To   string `json:"to,omitempty"`   // the new name of a rename
	Head []byte `json:"head,omitempty"` // what the file holds now, at most 64 KiB, for persistence spots only
	Mode uint32 `json:"mode,omitempty"`
	// Existing says that this is how things were when the sensor began to look, or looked again after a loss: no change was seen.
	Existing bool `json:"existing,omitempty"`
}

// Kind implements Data.
func (*Write) Kind() Kind { return KindWrite }

// File is a file that was looked at.
type File struct {
	Path     string `json:"path"`
	Inode    Inode  `json:"inode,omitzero"`
	Size     int64  `json:"size"`
	Mode     uint32 `json:"mode"` // as st_mode
	UID      uint32 `json:"uid"`
	GID      uint32 `json:"gid,omitempty"`
	Package  string `json:"package,omitempty"`
	Modified bool   `json:"modified,omitempty"` // differs from what its package installed
	SHA256   string `json:"sha256,omitempty"`   // of all of it; empty: not hashed
	Head     []byte `json:"head,omitempty"`     // its first bytes, at most 64 KiB
	// Strings holds, of a binary file, what the sensor's list of miner and pool words met, each once: binaries are too
	// large to hand to detectors whole.
	Strings []string `json:"strings,omitempty"`
	// Existing says that the file was there when the sensor began to look: the baseline, not news.
	Existing bool `json:"existing,omitempty"`
}

// Kind implements Data.
func (*File) Kind() Kind { return KindFile }
