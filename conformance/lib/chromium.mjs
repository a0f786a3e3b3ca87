// What the checks in Chromium share: one line per check, the example programs, the browser, the end of all.

import { execFileSync, spawn } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";

const SECONDS = 30;
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const FREE = "127.0.0.1:0";
export const out = path.join(root, "conformance", "out");

const started = Date.now();
const totals = { ok: 0, FAIL: 0 };
const programs = new Set();
let browser;
let built = false;

export async function check(name, run) {
  const start = performance.now();
  let outcome = "ok";
  let detail = "";
  try {
    detail = (await within(SECONDS, run())) ?? "";
  } catch (error) {
    outcome = "FAIL";
    detail = error.message;
  }
  totals[outcome] += 1;
  const seconds = ((performance.now() - start) / 1000).toFixed(3).padStart(8);
  const rest = String(detail).replace(/\s+/g, " ").trim().slice(0, 400);
  console.log(`${outcome.padEnd(7)} ${seconds} s  ${name}${rest ? `: ${rest}` : ""}`);
}

export function within(seconds, promise) {
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, deadline]).finally(() => clearTimeout(timer));
}

export function require(condition, message) {
  if (!condition) throw new Error(message);
}

// Waits for what `find` gives, as soon as that is something.
export async function until(what, find, seconds = 10) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(10)) {
    const found = await find();
    if (found) return found;
  }
  throw new Error(`no ${what} within ${seconds} s`);
}

// The release build of an example program; all of them are brought up to date first.
export function example(name) {
  if (!built) {
    execFileSync("cargo", ["build", "-q", "--release", "-p", "ws-examples", "--examples"], { cwd: root, stdio: ["ignore", 2, 2] });
    built = true;
  }
  return path.resolve(root, process.env.CARGO_TARGET_DIR ?? "target", "release", "examples", name);
}

// A child, and all that it has printed.
export class Program {
  constructor(command, args = []) {
    this.command = command;
    this.args = args;
    this.spawn();
  }

  spawn() {
    this.output = this.errors = "";
    this.status = undefined;
    this.child = spawn(this.command, this.args, { stdio: ["pipe", "pipe", "pipe"] });
    programs.add(this);
    this.child.stdout.on("data", (data) => (this.output += data));
    this.child.stderr.on("data", (data) => (this.errors += data));
    this.child.stdin.on("error", () => {}); // it has ended, which its status tells
    this.ended = new Promise((resolve) => {
      const end = (status) => { programs.delete(this); this.status = status; resolve(status); };
      this.child.once("error", (error) => { this.errors += error.message; end(-1); });
      this.child.once("close", (status, signal) => end(status ?? signal));
    });
  }

  // Waits for a match in what it prints, `output` or `errors`.
  async says(pattern, where = "output", seconds = 10) {
    return until(`${pattern} in ${where}`, () => {
      const found = pattern.exec(this[where]);
      require(found || this.status === undefined, `ended with ${this.status}, without ${pattern}: ${this[where]} ${this.errors.slice(-200)}`);
      return found;
    }, seconds);
  }

  signal(name) {
    this.child.kill(name);
    return within(10, this.ended);
  }
}

// A server on loopback, with FREE for its address. What it listens on is its first line.
export class Server extends Program {
  static start(command, ...args) {
    return new Server(command, args).listens();
  }

  async listens() {
    const [, address] = await this.says(/^listening on ws:\/\/(127\.0\.0\.1:\d+)\/?$/m, "output", 20);
    this.address = address;
    this.url = `http://${address}/`;
    this.ws = `ws://${address}/ws`;
    return this;
  }

  // Once more at the same address, after it has ended.
  again() {
    this.args[this.args.indexOf(FREE)] = this.address;
    this.spawn();
    return this.listens();
  }
}

export async function launch() {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    headless: true,
    timeout: 60000,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--disable-default-apps", "--disable-domain-reliability", "--no-pings", "--no-first-run", "--no-proxy-server",
      // No name but the loopback address resolves, so nothing can leave this machine.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
  });
}

async function stop() {
  await within(10, browser?.close() ?? Promise.resolve()).catch(() => {});
  for (const program of programs) program.child.kill("SIGKILL");
}

// Runs all checks in a browser, prints the totals and ends; exit status 1 when one has failed or there was none.
export async function run(all, start = launch) {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
    process.on(signal, () => stop().finally(() => process.exit(1)));
  }
  await check("the browser starts", async () => {
    browser = await start();
    return `version ${await browser.version()}`;
  });
  if (totals.ok) {
    try {
      await all(browser);
    } catch (error) {
      await check("no error between the checks", async () => { throw error; });
    }
  }
  await stop();
  console.log(`${totals.ok} ok, ${totals.FAIL} failed, ${((Date.now() - started) / 1000).toFixed(1)} s`);
  process.exit(totals.FAIL || !totals.ok ? 1 : 0);
}
