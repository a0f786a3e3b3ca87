// A WebSocket that comes back by itself, and shows its state in the element with the id `state`.
//
//   const socket = connect({ open() {}, message(text) {}, close(event) {}, error() {} });
//   socket.send('text');  // false when it is not open: nothing is sent before
//
// The server is beside the page, at `ws`, unless the page names another as the second argument.
function connect(on = {}, server = null) {
  const beside = new URL('ws', location.href);
  beside.protocol = beside.protocol === 'https:' ? 'wss:' : 'ws:';
  beside.search = '';
  const url = server ?? beside.href;
  let socket, attempts = 0, stopped = false;

  function show(state) {
    const element = document.getElementById('state');
    if (element) element.textContent = element.className = state;
    document.querySelectorAll('[data-needs-open]').forEach((control) => { control.disabled = state !== 'open'; });
  }

  function open() {
    show('connecting');
    socket = new WebSocket(url);
    socket.onopen = () => { attempts = 0; show('open'); on.open?.(); };
    socket.onmessage = (event) => on.message?.(event.data);
    socket.onerror = () => on.error?.();
    socket.onclose = (event) => {
      show('closed');
      on.close?.(event);
      // Later each time, and not with everybody else at once (RFC 6455 section 7.2.3).
      if (!stopped) setTimeout(open, Math.min(30000, 500 * 2 ** attempts++) * (0.5 + Math.random()));
    };
  }

  open();
  return {
    url,
    send: (text) => socket.readyState === WebSocket.OPEN && (socket.send(text), true),
    close: (code = 1000, reason = '') => { stopped = true; socket.close(code, reason); },
  };
}
