// A WebSocket that reconnects by itself, and shows its state in the element with the id `state`.
//
//   const socket = connect({ open() {}, message(text) {}, close(event) {}, error() {} });
//   socket.send('text');  // returns false, and sends nothing, if it is not open
//   socket.close();       // it then stays closed until socket.open()
//
// Elements with the attribute `data-needs-open` or `data-needs-closed` are disabled in other states.
// The URL is `ws`, relative to the page, unless the second argument names another server.
function connect(on = {}, server = null) {
  const beside = new URL('ws', location.href);
  beside.protocol = beside.protocol === 'https:' ? 'wss:' : 'ws:';
  beside.search = '';
  const url = server ?? beside.href;
  let socket, timer, attempts = 0, stopped;

  function show(state) {
    const element = document.getElementById('state');
    if (element) element.textContent = element.className = state;
    for (const needed of ['open', 'closed']) {
      document.querySelectorAll(`[data-needs-${needed}]`).forEach((control) => { control.disabled = state !== needed; });
    }
  }

  function open() {
    clearTimeout(timer);
    stopped = false;
    show('connecting');
    socket = new WebSocket(url);
    socket.onopen = () => { attempts = 0; show('open'); on.open?.(); };
    socket.onmessage = (event) => on.message?.(event.data);
    socket.onerror = () => on.error?.();
    socket.onclose = (event) => {
      show('closed');
      on.close?.(event);
      // Each attempt waits longer, for a random time, so that not all clients return at once (RFC 6455 section 7.2.3).
      if (!stopped) timer = setTimeout(open, Math.min(30000, 500 * 2 ** attempts++) * (0.5 + Math.random()));
    };
  }

  open();
  return {
    url,
    open,
    send: (text) => socket.readyState === WebSocket.OPEN && (socket.send(text), true),
    close: (code = 1000, reason = '') => {
      stopped = true;
      clearTimeout(timer);
      show(socket.readyState < WebSocket.CLOSING ? 'closing' : 'closed');
      socket.close(code, reason);
    },
  };
}
