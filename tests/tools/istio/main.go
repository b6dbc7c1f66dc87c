// Command istio reads VirtualServices, one JSON object a line, and answers each with one JSON line: what Istio's own
// validation has against it.
//
//	{"name":"team-a/notebook","errors":["..."],"warnings":["..."]}
//
// A line that is no VirtualService is answered too, with the reason as its only error, so that answers and questions
// stay in step. The exit code is non-zero only when reading or writing fails.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/encoding/protojson"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	networking "istio.io/api/networking/v1alpha3"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/config/validation"
)

// object is a VirtualService as the API server stores it; its spec is read by Istio's own types.
type object struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
	Spec            json.RawMessage   `json:"spec"`
}

// verdict is the answer to one line.
type verdict struct {
	Name     string   `json:"name"`
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
}

func main() {
	if err := answerAll(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// answerAll flushes after each answer whose question was the last one read, so a caller may also talk line by line.
func answerAll(in io.Reader, out io.Writer) error {
	lines := bufio.NewReaderSize(in, 1<<20)
	answers := bufio.NewWriter(out)
	encoder := json.NewEncoder(answers)
	encoder.SetEscapeHTML(false)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			if err := encoder.Encode(judge(line)); err != nil {
				return err
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return err
			}
			return answers.Flush()
		}
		if lines.Buffered() == 0 {
			if err := answers.Flush(); err != nil {
				return err
			}
		}
	}
}

func judge(line []byte) verdict {
	answer := verdict{Errors: []string{}, Warnings: []string{}}
	var read object
	if err := json.Unmarshal(line, &read); err != nil {
		answer.Errors = append(answer.Errors, "not an object: "+err.Error())
		return answer
	}
	answer.Name = read.Metadata.Namespace + "/" + read.Metadata.Name
	if read.Kind != gvk.VirtualService.Kind {
		answer.Errors = append(answer.Errors, fmt.Sprintf("not a VirtualService: kind is %q", read.Kind))
		return answer
	}
	spec := &networking.VirtualService{}
	if err := protojson.Unmarshal(read.Spec, spec); err != nil {
		answer.Errors = append(answer.Errors, "spec: "+err.Error())
		return answer
	}
	warning, err := validation.ValidateVirtualService(config.Config{
		Meta: config.Meta{
			GroupVersionKind: gvk.VirtualService,
			Name:             read.Metadata.Name,
			Namespace:        read.Metadata.Namespace,
			Labels:           read.Metadata.Labels,
			Annotations:      read.Metadata.Annotations,
		},
		Spec: spec,
	})
	answer.Errors = append(answer.Errors, texts(err)...)
	answer.Warnings = append(answer.Warnings, texts(warning)...)
	return answer
}

// texts takes the list of faults that validation returns as one error apart again.
func texts(err error) []string {
	if err == nil {
		return nil
	}
	var many interface{ WrappedErrors() []error }
	if !errors.As(err, &many) {
		return []string{err.Error()}
	}
	var out []string
	for _, one := range many.WrappedErrors() {
		out = append(out, one.Error())
	}
	return out
}
