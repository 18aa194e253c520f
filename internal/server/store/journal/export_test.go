package journal

// Misalign makes the next write of up to n bytes one that O_DIRECT refuses, as a disk with larger blocks does, and reports whether the
// file is written by O_DIRECT at all.
func (j *File) Misalign(n int) bool {
	j.buf = aligned(n + Block)[1:]
	return j.direct
}

// Direct reports whether the file is written by O_DIRECT.
func (j *File) Direct() bool { return j.direct }
