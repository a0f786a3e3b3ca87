// The library `ws`: node ws.js ADDR
import { WebSocketServer } from 'ws'

const [host, port] = (process.argv[2] ?? '127.0.0.1:9001').split(':')
const server = new WebSocketServer({ host, port: Number(port), perMessageDeflate: false })
server.on('listening', () => console.log(`listening on ws://${host}:${server.address().port}`))
server.on('connection', (ws, request) => {
  const { socket } = request
  let corked = false
  ws.on('error', () => {})
  ws.on('message', (data, isBinary) => {
    // One write for the answers to all that came at once.
    if (!corked) {
      corked = true
      socket.cork()
      process.nextTick(() => {
        corked = false
        socket.uncork()
      })
    }
    ws.send(data, { binary: isBinary })
  })
})
