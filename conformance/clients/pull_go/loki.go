package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// Thrift's compact protocol, as far as a list of Zipkin's spans has it.
const (
	typeStop   = 0
	typeTrue   = 1
	typeFalse  = 2
	typeByte   = 3
	typeI16    = 4
	typeI32    = 5
	typeI64    = 6
	typeDouble = 7
	typeBinary = 8
	typeList   = 9
	typeSet    = 10
	typeMap    = 11
	typeStruct = 12
)

type host struct {
	Service string `json:"service"`
	Ipv4    int32  `json:"ipv4"`
	Port    int16  `json:"port"`
}

type annotation struct {
	Timestamp int64  `json:"timestamp"`
	Value     string `json:"value"`
	Host      *host  `json:"host,omitempty"`
}

type binaryAnnotation struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Type  int32  `json:"type"`
	Host  *host  `json:"host,omitempty"`
}

type span struct {
	TraceID     string             `json:"traceId"`
	ID          string             `json:"id"`
	ParentID    string             `json:"parentId,omitempty"`
	Name        string             `json:"name"`
	Timestamp   int64              `json:"timestamp,omitempty"`
	Duration    int64              `json:"duration,omitempty"`
	Debug       bool               `json:"debug,omitempty"`
	Annotations []annotation       `json:"annotations"`
	Binary      []binaryAnnotation `json:"binaryAnnotations"`
}

// loki reads a target as a server of 2017 did: it asks without Accept, reads a list in the compact protocol, whatever
// the answer says of its type, and stops where the list ends. A file in place of a URL holds a body in hexadecimal.
func loki(what string) (any, error) {
	if !strings.HasPrefix(what, "http://") {
		text, err := os.ReadFile(what)
		if err != nil {
			return nil, err
		}
		return readSpans(hex.NewDecoder(strings.NewReader(strings.TrimSpace(string(text)))))
	}
	request, err := http.NewRequest("GET", what, nil)
	if err != nil {
		return nil, err
	}
	// Go asks for gzip by itself, as it did then.
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	// Closed without being read to its end.
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", response.Status)
	}
	return readSpans(response.Body)
}

func readSpans(from io.Reader) ([]span, error) {
	r := &reader{bufio.NewReader(from)}
	kind, count, err := r.listHeader()
	if err != nil {
		return nil, err
	}
	if count > 0 && kind != typeStruct {
		return nil, fmt.Errorf("a list of type %d", kind)
	}
	spans := []span{}
	for range count {
		one, err := r.span()
		if err != nil {
			return nil, fmt.Errorf("span %d of %d: %w", len(spans)+1, count, err)
		}
		spans = append(spans, one)
	}
	return spans, nil
}

type reader struct{ *bufio.Reader }

func (r *reader) listHeader() (byte, uint64, error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, 0, err
	}
	count := uint64(first >> 4)
	if count == 15 {
		if count, err = binary.ReadUvarint(r); err != nil {
			return 0, 0, err
		}
	}
	return first & 15, count, nil
}

// fields calls each with the id and type of every field, until the struct ends. Each reads or skips its value.
func (r *reader) fields(each func(id int16, kind byte) error) error {
	last := int16(0)
	for {
		first, err := r.ReadByte()
		if err != nil {
			return err
		}
		if first == typeStop {
			return nil
		}
		if delta := first >> 4; delta != 0 {
			last += int16(delta)
		} else {
			id, err := r.zigzag()
			if err != nil {
				return err
			}
			last = int16(id)
		}
		if err := each(last, first&15); err != nil {
			return err
		}
	}
}

func (r *reader) zigzag() (int64, error) {
	// Which is what Go calls a varint.
	return binary.ReadVarint(r)
}

func (r *reader) text() (string, error) {
	length, err := binary.ReadUvarint(r)
	if err != nil {
		return "", err
	}
	if length > 1<<24 {
		return "", errors.New("a text that is too long")
	}
	bytes := make([]byte, length)
	_, err = io.ReadFull(r, bytes)
	return string(bytes), err
}

func (r *reader) list(each func() error) error {
	_, count, err := r.listHeader()
	for i := uint64(0); err == nil && i < count; i++ {
		err = each()
	}
	return err
}

func (r *reader) span() (span, error) {
	one := span{Annotations: []annotation{}, Binary: []binaryAnnotation{}}
	var low, high int64
	err := r.fields(func(id int16, kind byte) (err error) {
		number := int64(0)
		if kind == typeI64 {
			if number, err = r.zigzag(); err != nil {
				return err
			}
		}
		switch {
		case id == 1 && kind == typeI64:
			low = number
		case id == 3 && kind == typeBinary:
			one.Name, err = r.text()
		case id == 4 && kind == typeI64:
			one.ID = fmt.Sprintf("%016x", uint64(number))
		case id == 5 && kind == typeI64:
			one.ParentID = fmt.Sprintf("%016x", uint64(number))
		case id == 6 && kind == typeList:
			err = r.list(func() error {
				annotation, err := r.annotation()
				one.Annotations = append(one.Annotations, annotation)
				return err
			})
		case id == 8 && kind == typeList:
			err = r.list(func() error {
				annotation, err := r.binaryAnnotation()
				one.Binary = append(one.Binary, annotation)
				return err
			})
		case id == 9:
			one.Debug = kind == typeTrue
		case id == 10 && kind == typeI64:
			one.Timestamp = number
		case id == 11 && kind == typeI64:
			one.Duration = number
		case id == 12 && kind == typeI64:
			high = number
		case kind != typeI64:
			err = r.skip(kind)
		}
		return err
	})
	one.TraceID = fmt.Sprintf("%016x", uint64(low))
	if high != 0 {
		one.TraceID = fmt.Sprintf("%016x%016x", uint64(high), uint64(low))
	}
	return one, err
}

func (r *reader) annotation() (one annotation, err error) {
	err = r.fields(func(id int16, kind byte) (err error) {
		switch {
		case id == 1 && kind == typeI64:
			one.Timestamp, err = r.zigzag()
		case id == 2 && kind == typeBinary:
			one.Value, err = r.text()
		case id == 3 && kind == typeStruct:
			one.Host, err = r.host()
		default:
			err = r.skip(kind)
		}
		return err
	})
	return one, err
}

func (r *reader) binaryAnnotation() (one binaryAnnotation, err error) {
	err = r.fields(func(id int16, kind byte) (err error) {
		switch {
		case id == 1 && kind == typeBinary:
			one.Key, err = r.text()
		case id == 2 && kind == typeBinary:
			one.Value, err = r.text()
		case id == 3 && kind == typeI32:
			var number int64
			number, err = r.zigzag()
			one.Type = int32(number)
		case id == 4 && kind == typeStruct:
			one.Host, err = r.host()
		default:
			err = r.skip(kind)
		}
		return err
	})
	return one, err
}

func (r *reader) host() (*host, error) {
	one := &host{}
	err := r.fields(func(id int16, kind byte) (err error) {
		var number int64
		switch {
		case id == 1 && kind == typeI32:
			number, err = r.zigzag()
			one.Ipv4 = int32(number)
		case id == 2 && kind == typeI16:
			number, err = r.zigzag()
			one.Port = int16(number)
		case id == 3 && kind == typeBinary:
			one.Service, err = r.text()
		default:
			err = r.skip(kind)
		}
		return err
	})
	return one, err
}

func (r *reader) skip(kind byte) (err error) {
	switch kind {
	case typeTrue, typeFalse:
	case typeByte:
		_, err = r.ReadByte()
	case typeI16, typeI32, typeI64:
		_, err = r.zigzag()
	case typeDouble:
		_, err = r.Discard(8)
	case typeBinary:
		_, err = r.text()
	case typeStruct:
		err = r.fields(func(_ int16, kind byte) error { return r.skip(kind) })
	case typeList, typeSet:
		var count uint64
		if kind, count, err = r.listHeader(); err == nil {
			for i := uint64(0); err == nil && i < count; i++ {
				err = r.skip(kind)
			}
		}
	default:
		err = fmt.Errorf("type %d", kind)
	}
	return err
}
