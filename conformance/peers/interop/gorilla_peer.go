// Gorilla's websocket as the program at the other end: gorilla_peer client|server, with the commands of ../../interop.py.
package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// A message that is longer than this is sent in fragments.
const bufferSize = 1024

var (
	// The connection that the commands are for.
	conn *websocket.Conn
	lock sync.Mutex
)

func main() {
	if os.Args[1] == "server" {
		listen()
	}
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if err := obey(strings.Fields(line)); err != nil {
			report("error", err)
		}
	}
}

func report(words ...any) {
	lock.Lock()
	defer lock.Unlock()
	fmt.Println(words...)
}

func toHex(data []byte) string {
	if len(data) == 0 {
		return "-"
	}
	return hex.EncodeToString(data)
}

func obey(words []string) error {
	switch words[0] {
	case "connect":
		return connect(words[1], words[2], words[3] == "deflate")
	case "text", "binary":
		return send(words[0] == "text", words[1:])
	}
	data, err := fromHex(words[len(words)-1])
	if err != nil {
		return err
	}
	deadline := time.Now().Add(10 * time.Second)
	switch words[0] {
	case "ping":
		return conn.WriteControl(websocket.PingMessage, data, deadline)
	case "close":
		code, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		payload := websocket.FormatCloseMessage(code, string(data))
		return conn.WriteControl(websocket.CloseMessage, payload, deadline)
	case "raw":
		_, err = conn.UnderlyingConn().Write(data)
		return err
	}
	return errors.New("unknown command")
}

func fromHex(word string) ([]byte, error) {
	if word == "-" {
		return nil, nil
	}
	return hex.DecodeString(word)
}

func connect(port, subprotocols string, deflate bool) error {
	dialer := websocket.Dialer{WriteBufferSize: bufferSize, EnableCompression: deflate}
	if subprotocols != "-" {
		dialer.Subprotocols = strings.Split(subprotocols, ",")
	}
	ws, _, err := dialer.Dial("ws://127.0.0.1:"+port+"/", nil)
	if err != nil {
		return err
	}
	start(ws, "/")
	go read(ws)
	return nil
}

func listen() {
	upgrader := websocket.Upgrader{
		WriteBufferSize:   bufferSize,
		Subprotocols:      []string{"chat"},
		EnableCompression: true,
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	report("listening", listener.Addr().(*net.TCPAddr).Port)
	accept := func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			report("error", err)
			return
		}
		start(ws, r.URL.Path)
		read(ws)
	}
	go http.Serve(listener, http.HandlerFunc(accept))
}

func start(ws *websocket.Conn, path string) {
	conn = ws
	ws.SetPongHandler(func(data string) error {
		report("pong", toHex([]byte(data)))
		return nil
	})
	subprotocol := ws.Subprotocol()
	if subprotocol == "" {
		subprotocol = "-"
	}
	report("open", path, subprotocol)
}

func read(ws *websocket.Conn) {
	for {
		kind, data, err := ws.ReadMessage()
		if err != nil {
			code, reason := websocket.CloseAbnormalClosure, ""
			var end *websocket.CloseError
			if errors.As(err, &end) {
				code, reason = end.Code, end.Text
			}
			ws.Close()
			report("closed", code, toHex([]byte(reason)))
			return
		}
		name := "binary"
		if kind == websocket.TextMessage {
			name = "text"
		}
		report(name, toHex(data))
	}
}

func send(text bool, pieces []string) error {
	kind := websocket.BinaryMessage
	if text {
		kind = websocket.TextMessage
	}
	writer, err := conn.NextWriter(kind)
	if err != nil {
		return err
	}
	for _, piece := range pieces {
		data, err := fromHex(piece)
		if err != nil {
			return err
		}
		if _, err := writer.Write(data); err != nil {
			return err
		}
	}
	return writer.Close()
}
