package main

import (
	"bytes"
	stdgzip "compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

type decoded struct {
	Name   string `json:"name"`
	Sha256 string `json:"sha256,omitempty"`
	Error  string `json:"error,omitempty"`
}

// decoders reads the bodies at URL/gzip and URL/zstd in every way that Go's users read bodies.
func decoders(url string) (any, error) {
	packedGzip, err := fetch(url+"/gzip", "gzip")
	if err != nil {
		return nil, err
	}
	packedZstd, err := fetch(url+"/zstd", "zstd")
	if err != nil {
		return nil, err
	}
	ways := []struct {
		name string
		read func() ([]byte, error)
	}{
		{"compress/gzip", func() ([]byte, error) {
			reader, err := stdgzip.NewReader(bytes.NewReader(packedGzip))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(reader)
		}},
		{"compress/gzip, Multistream(false)", func() ([]byte, error) {
			reader, err := stdgzip.NewReader(bytes.NewReader(packedGzip))
			if err != nil {
				return nil, err
			}
			reader.Multistream(false)
			return io.ReadAll(reader)
		}},
		// Asks for gzip by itself, and unpacks what it gets.
		{"net/http", func() ([]byte, error) { return fetch(url+"/gzip", "") }},
		{"klauspost gzip", func() ([]byte, error) {
			reader, err := gzip.NewReader(bytes.NewReader(packedGzip))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(reader)
		}},
		{"klauspost zstd, stream", func() ([]byte, error) {
			reader, err := zstd.NewReader(bytes.NewReader(packedZstd))
			if err != nil {
				return nil, err
			}
			defer reader.Close()
			return io.ReadAll(reader)
		}},
		{"klauspost zstd, DecodeAll", func() ([]byte, error) {
			reader, err := zstd.NewReader(nil)
			if err != nil {
				return nil, err
			}
			defer reader.Close()
			return reader.DecodeAll(packedZstd, nil)
		}},
	}
	all := []decoded{}
	for _, way := range ways {
		one := decoded{Name: way.name}
		if plain, err := way.read(); err != nil {
			one.Error = err.Error()
		} else {
			sum := sha256.Sum256(plain)
			one.Sha256 = hex.EncodeToString(sum[:])
		}
		all = append(all, one)
	}
	return all, nil
}

func fetch(url, encoding string) ([]byte, error) {
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return nil, err
	}
	if encoding != "" {
		request.Header.Set("Accept-Encoding", encoding)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}
