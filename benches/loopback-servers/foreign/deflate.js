// The library `ws`: node deflate.js FOLDER, which `deflate` has written. It prints what that prints of its engines.
import { readFileSync } from 'node:fs'
import { Writable } from 'node:stream'
import { PerMessageDeflate, Receiver, Sender } from 'ws'

const folder = process.argv[2]
const ROWS = { '128 B': 128, '1 KiB': 1024, '16 KiB': 16 * 1024 }
const READ = 64 * 1024
const WARM_UP = 100e6
const MEASUREMENT = 400e6

const extensions = () => {
  const zlibDeflateOptions = { level: 1 }
  const deflate = new PerMessageDeflate({ isServer: true, threshold: 0, zlibDeflateOptions })
  deflate.accept([{ server_max_window_bits: ['12'], client_max_window_bits: ['12'] }])
  return { [PerMessageDeflate.extensionName]: deflate }
}

/** Returns the least time of a round in nanoseconds, of many. */
const least = async round => {
  const now = () => Number(process.hrtime.bigint())
  const warm = now() + WARM_UP
  while (now() < warm) await round()
  const end = now() + MEASUREMENT
  let found = Infinity
  while (now() < end) {
    const started = now()
    await round()
    found = Math.min(found, now() - started)
  }
  return found
}

/** Hands over chunks as a socket does, and resolves when `count` messages have come. */
const receive = (receiver, wire, count) =>
  new Promise((resolve, reject) => {
    const messages = []
    receiver.removeAllListeners('message').on('message', message => {
      if (messages.push(message) === count) resolve(messages)
    })
    receiver.removeAllListeners('error').on('error', reject)
    for (let at = 0; at < wire.length; at += READ) receiver.write(wire.subarray(at, at + READ))
  })

const inflate = async (len, messages) => {
  const [first, again] = ['first', 'again'].map(name => readFileSync(`${folder}/${len}.${name}`))
  const receiver = new Receiver({ isServer: true, extensions: extensions(), maxPayload: 16 << 20 })
  // The receiver unmasks in place.
  const take = (wire, count) => receive(receiver, Buffer.from(wire), count)
  const count = messages.length * Math.ceil((1 << 20) / (messages.length * len))
  const all = [await take(first, messages.length), await take(again, count), await take(again, count)].flat()
  if (!all.every((message, at) => message.equals(messages[at % messages.length]))) throw new Error('other messages')
  // 6 or 8 bytes of each are the header and the masking key: 4 more if the payload has 126 bytes or more.
  let payloads = 0
  for (let at = 0; at < again.length; ) {
    const short = again[at + 1] & 127
    const payload = short < 126 ? short : again.readUInt16BE(at + 2)
    payloads += payload
    at += (short < 126 ? 6 : 8) + payload
  }
  const rate = (count * len) / ((await least(() => take(again, count))) / 1e3)
  return { rate, ratio: payloads / (count * len) }
}

const deflate = async (len, messages) => {
  let written = []
  const socket = new Writable({
    write: (bytes, _, done) => {
      written.push(bytes)
      done()
    }
  })
  const sender = new Sender(socket, extensions())
  const options = { fin: true, compress: true, binary: false, mask: false, readOnly: true }
  const round = () =>
    new Promise(resolve => {
      written = []
      messages.forEach((message, at) => sender.send(message, options, at + 1 < messages.length ? undefined : resolve))
    })
  // A client gets the messages.
  const client = new Receiver({ extensions: extensionsOfClient(), maxPayload: 16 << 20 })
  let headers, bytes
  for (const _ of [1, 2]) {
    await round()
    const all = Buffer.concat(written)
    const got = await receive(client, all, messages.length)
    if (!got.every((message, at) => message.equals(messages[at]))) throw new Error('other messages')
    bytes = all.length
    headers = written.filter(part => part.length <= 4).reduce((sum, part) => sum + part.length, 0)
  }
  const rate = (messages.length * len) / ((await least(round)) / 1e3)
  return { rate, ratio: (bytes - headers) / (messages.length * len) }
}

const extensionsOfClient = () => {
  const deflate = new PerMessageDeflate({ isServer: false, clientMaxWindowBits: 12, serverMaxWindowBits: 12 })
  deflate.offer()
  deflate.accept([{ server_max_window_bits: ['12'], client_max_window_bits: ['12'] }])
  return { [PerMessageDeflate.extensionName]: deflate }
}

for (const [name, len] of Object.entries(ROWS)) {
  const all = readFileSync(`${folder}/${len}.messages`)
  const messages = Array.from({ length: all.length / len }, (_, at) => all.subarray(at * len, (at + 1) * len))
  for (const [what, work] of Object.entries({ deflate, inflate })) {
    const { rate, ratio } = await work(len, messages)
    const found = { row: `${what} ${name}`, engine: 'ws-node', rate, ratio }
    console.log(JSON.stringify(found))
  }
}
