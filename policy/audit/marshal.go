package audit

// MarshalJSON gives the record as it stands in the log, without the newline.
func (r Record) MarshalJSON() ([]byte, error) { return appendLine(nil, &r), nil }
