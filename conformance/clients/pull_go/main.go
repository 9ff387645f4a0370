// What Go reads of a target's answers: `senders decoders URL` and `senders loki URL|FILE`.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: senders decoders|loki WHAT"))
	}
	var told any
	var err error
	switch os.Args[1] {
	case "decoders":
		told, err = decoders(os.Args[2])
	case "loki":
		told, err = loki(os.Args[2])
	default:
		err = fmt.Errorf("unknown %s", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
