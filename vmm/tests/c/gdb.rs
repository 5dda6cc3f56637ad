//! `zvmm run --gdb`: the host's gdb on a running program, and a client that speaks the protocol itself where gdb is too polite.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::debugging::{gdb, has, has_gdb};
use crate::{Desk, Said, skips_kvm};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A run that waits for gdb, and what it said of that.
struct Run {
    zvmm: Child,
    said: String,
}

impl Run {
    /// `place` as for `--gdb`, then the program. It listens when this returns.
    fn start(desk: &Desk, cpus: &str, place: &str, program: &str) -> Run {
        let line = format!("zvmm run --cpus {cpus} --gdb {place} {program}");
        let mut command = desk.command(&line);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut zvmm = command.spawn().unwrap();
        let err = zvmm.stderr.as_mut().unwrap();
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\n") {
            err.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        let said = String::from_utf8(line).unwrap();
        Run { zvmm, said }
    }

    fn on_socket(desk: &Desk, cpus: &str, program: &str) -> Run {
        Run::start(desk, cpus, "unix:sock", program)
    }

    /// What to connect to.
    fn address(&self) -> &str {
        let line = self.said.trim_end();
        let address = line.strip_prefix("zvmm: waiting for gdb: target remote ");
        address.unwrap_or_else(|| panic!("{line}"))
    }

    /// How it ends.
    fn end(self) -> Said {
        Said::from(self.zvmm.wait_with_output().unwrap())
    }
}

#[track_caller]
fn wait<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(it) = ready() {
            return it;
        }
        assert!(began.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A desk with a compiled program, unless this host cannot run it.
fn desk(program: &str) -> Option<Desk> {
    let source = format!("{program}.c");
    let desk = Desk::with(&[&source]);
    desk.well(&format!("zvmm cc {source} -g -O0 -o {program}"));
    (!skips_kvm()).then_some(desk)
}

/// Runs gdb with these commands on a program that starts.
fn session(desk: &Desk, cpus: &str, program: &str, commands: &[&str]) -> (String, Said) {
    let run = Run::on_socket(desk, cpus, program);
    let shown = attach(desk, program, commands);
    (shown, run.end())
}

/// Attaches gdb.
fn attach(desk: &Desk, program: &str, commands: &[&str]) -> String {
    let remote = ["set debuginfod enabled off", "target remote sock"];
    let commands: Vec<&str> = remote.iter().chain(commands).copied().collect();
    gdb(desk, program, &commands)
}

#[test]
fn threads_frames_and_memory() {
    let Some(desk) = desk("debugged").filter(|_| has_gdb()) else {
        return;
    };
    for cpus in ["1", "2"] {
        let commands = [
            "info threads",
            "break main",
            "continue",
            "bt",
            "break square",
            "continue",
            "info threads",
            "bt",
            "finish",
            "print counter >= 100",
            "x/16x middle",
            "x/16x absent",
            "x/2xb main",
            "delete",
            "continue",
        ];
        let (shown, said) = session(&desk, cpus, "./debugged", &commands);
        has(
            &shown,
            &[
                "in _start ()",
                "* 1    Thread 1.",
                " (main) ",
                "Breakpoint 1, main (argc=1",
                "#0  main (argc=1",
                "hit Breakpoint 2, square (n=1)",
                " (thrd) ",
                "spin (unused=0x0)",
                "#1  0x",
                "Value returned is $1 = 1",
                "$2 = 1",
                "0x00c0ffee\t0x00000000",
                "Cannot access memory at address 0x",
                // push rbp, although a breakpoint was there.
                "<main>:\t0x55\t0x48",
                "exited with code 016",
            ],
        );
        // 101 if a page had been asked for.
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(14), "total 14\n"),
            "{shown}"
        );
        assert!(!desk.path("sock").exists(), "the socket stays behind");
    }
}

#[test]
fn stepping() {
    let Some(desk) = desk("debugged").filter(|_| has_gdb()) else {
        return;
    };
    for cpus in ["1", "2"] {
        let commands = [
            "break square",
            "continue",
            "next",
            "print result",
            "set var result = 100",
            "stepi",
            "info registers eflags fs_base",
            "up",
            "set can-use-hw-watchpoints 0",
            "delete",
            "watch total",
            "continue",
            "delete",
            "tbreak zx_port_wait",
            "continue",
            // Over a system call: the instruction behind it is the next.
            "stepi",
            "x/i $pc",
            "set $call = $pc",
            "stepi",
            "print $pc - $call",
            "print (int)$rax",
            "continue",
        ];
        let (shown, said) = session(&desk, cpus, "./debugged", &commands);
        has(
            &shown,
            &[
                "return result;",
                "$1 = 1",
                "[ IF ]",
                "Old value = 0",
                "New value = 100",
                "syscall",
                " = 2\n",
                // ZX_ERR_TIMED_OUT
                " = -21\n",
            ],
        );
        assert!(!shown.contains("TF"), "{shown}");
        let total = 100 + 4 + 9;
        assert_eq!(said.code, Some(total), "{shown}");
    }
}

#[test]
fn an_exception_stops_the_program_before_it_ends_it() {
    let Some(desk) = desk("crash").filter(|_| has_gdb()) else {
        return;
    };
    for cpus in ["1", "2"] {
        let commands = ["continue", "bt", "print value", "continue"];
        let (shown, said) = session(&desk, cpus, "./crash", &commands);
        has(
            &shown,
            &[
                "received signal SIGSEGV",
                "#0  0x",
                "store (where=0x123456789000, value=1) at crash.c:",
                "in main (argc=1",
                "$1 = 1",
                "Program terminated with signal SIGSEGV",
            ],
        );
        assert_eq!(said.code, Some(123), "{said:#?}");
        assert!(said.err.contains("\nbacktrace  0  0x"), "{said:#?}");
        // The store is left out, and what follows runs.
        let commands = ["continue", "set $rip = $rip + 2", "signal 0"];
        let (shown, said) = session(&desk, cpus, "./crash", &commands);
        has(&shown, &["received signal SIGSEGV", "exited normally"]);
        assert_eq!(said.code, Some(0), "{said:#?}");
    }
}

#[test]
fn leaving_and_coming_back() {
    let Some(desk) = desk("endless").filter(|_| has_gdb()) else {
        return;
    };
    for cpus in ["1", "2"] {
        let run = Run::on_socket(&desk, cpus, "./endless");
        let shown = attach(&desk, "./endless", &["break main", "continue", "detach"]);
        has(&shown, &["Breakpoint 1, main ()", "detached"]);
        // It runs: the next one finds it in its loop, and the other thread waiting for its page.
        let waits = wait("the second thread", || {
            let shown = attach(&desk, "./endless", &["info threads", "print rounds > 0"]);
            let is_there = |part: &&str| shown.contains(*part);
            let all = ["wait_for_page", "main () at endless.c:", "$1 = 1"];
            all.iter().all(is_there).then_some(shown)
        });
        assert!(waits.contains("* 1 "), "{waits}");
        // A breakpoint of a gdb that dies is none.
        let mut command = desk.command("gdb -nx -batch");
        let commands = [
            "target remote sock",
            "set breakpoint always-inserted on",
            "break endless.c:LOOP",
            "x/i $pc",
            "shell kill -9 $PPID",
        ];
        let source = fs::read_to_string(desk.path("endless.c")).unwrap();
        let line = source.lines().position(|line| line.contains("rounds++"));
        let line = (line.unwrap() + 1).to_string();
        let commands = commands.map(|command| command.replace("LOOP", &line));
        commands.iter().for_each(|line| {
            command.args(["-ex", line.as_str()]);
        });
        command.arg("./endless").output().unwrap();
        let shown = attach(&desk, "./endless", &["set var stop = 1", "continue"]);
        has(&shown, &["exited with code 05"]);
        assert_eq!(run.end().code, Some(5), "{shown}");
    }
}

/// The program, the commands and the output of docs/debugging.md.
#[test]
fn the_session_of_the_documentation() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/debugging.md");
    let page = fs::read_to_string(page).unwrap();
    let block = |language: &str| {
        let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
        rest.split_once("```").unwrap().0
    };
    let desk = Desk::new();
    fs::write(desk.path("squares.c"), block("c")).unwrap();
    let lines = block("console").lines();
    let mut shell = lines.filter_map(|line| line.strip_prefix("$ "));
    desk.well(shell.next().unwrap());
    if skips_kvm() || !has_gdb() {
        return;
    }
    let words: Vec<&str> = shell.next().unwrap().split(' ').collect();
    let ["zvmm", "run", "--gdb", place, program] = words[..] else {
        panic!("{words:?}");
    };
    let run = Run::start(&desk, "1", place, program);
    let (commands, output): (Vec<&str>, Vec<&str>) = block("text")
        .lines()
        .skip(1)
        .partition(|line| line.starts_with("(gdb) "));
    let commands: Vec<&str> = commands.iter().map(|line| &line[6..]).collect();
    let shown = without_addresses(&gdb(&desk, program, &commands));
    for line in output.iter().map(|line| without_addresses(line)) {
        // Errors come on the other output.
        for part in line.split('\t') {
            assert!(shown.contains(part), "no {part:?} in\n{shown}");
        }
    }
    let expected = block("console").lines().last().unwrap();
    assert_eq!(run.end().out.trim_end(), expected, "{shown}");
}

/// Every hexadecimal number as 0x: compilers differ.
fn without_addresses(text: &str) -> String {
    let mut parts = text.split("0x");
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    rest.fold(first.to_owned(), |text, part| text + "0x" + part)
}

#[test]
fn kill_ends_the_run() {
    let Some(desk) = desk("endless").filter(|_| has_gdb()) else {
        return;
    };
    let (shown, said) = session(&desk, "2", "./endless", &["kill"]);
    assert_eq!(said.code, Some(137), "{shown}");
    assert!(said.err.ends_with("zvmm: killed by gdb.\n"), "{said:#?}");
}

/// A packet with its sum.
fn framed(packet: &str) -> Vec<u8> {
    let sum = packet.bytes().fold(0u8, |sum, byte| sum.wrapping_add(byte));
    format!("${packet}#{sum:02x}").into_bytes()
}

/// A client of its own.
struct Client<S>(S);

impl Client<UnixStream> {
    fn on_socket(desk: &Desk) -> Self {
        let socket = UnixStream::connect(desk.path("sock")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(socket)
    }
}

impl<S: Read + Write> Client<S> {
    fn send(&mut self, packet: &str) {
        self.0.write_all(&framed(packet)).unwrap();
    }

    /// The next packet, acknowledged.
    fn receive(&mut self) -> String {
        let mut packet = Vec::new();
        let mut byte = [0];
        while !packet.ends_with(b"#") {
            self.0.read_exact(&mut byte).unwrap();
            match byte[0] {
                b'$' => packet.clear(),
                byte => packet.push(byte),
            }
        }
        self.0.read_exact(&mut [0; 2]).unwrap();
        self.0.write_all(b"+").unwrap();
        packet.pop();
        String::from_utf8(packet).unwrap()
    }

    fn ask(&mut self, packet: &str) -> String {
        self.send(packet);
        self.receive()
    }
}

/// A Ctrl-C that crosses the stop that it was meant for stops nothing later.
#[test]
fn a_late_control_c_is_none() {
    let Some(desk) = desk("endless") else { return };
    let run = Run::on_socket(&desk, "1", "./endless");
    let mut client = Client::on_socket(&desk);
    assert!(client.ask("?").starts_with("T05thread:"));
    client.0.write_all(b"\x03").unwrap();
    client.send("vCont;c");
    std::thread::sleep(Duration::from_millis(20));
    client.0.write_all(b"\x03").unwrap();
    assert!(client.receive().starts_with("T02thread:"));
    assert!(!client.ask("g").starts_with('E'), "it stands");
    client.send("k");
    assert_eq!(run.end().code, Some(137));
}

/// Two threads at one breakpoint, over and over; then there is none any more, in the middle of it.
#[test]
fn threads_that_stop_at_once() {
    let Some(desk) = desk("twice").filter(|_| has_gdb()) else {
        return;
    };
    for cpus in ["1", "2"] {
        let commands = [
            "break turn",
            "continue 20",
            "next",
            "set scheduler-locking on",
            "stepi 20",
            "set scheduler-locking off",
            "continue",
            "delete",
            "continue",
        ];
        let (shown, said) = session(&desk, cpus, "./twice", &commands);
        has(&shown, &["Breakpoint 1, turn (", "exited with code 07"]);
        assert!(!shown.contains("SIGTRAP"), "{shown}");
        assert_eq!(said.code, Some(7), "{shown}");
    }
}

/// gdb without a file: it reads the program through the connection.
#[test]
fn symbols_come_through_the_connection() {
    let Some(desk) = desk("twice").filter(|_| has_gdb()) else {
        return;
    };
    let run = Run::on_socket(&desk, "1", "./twice");
    let commands = [
        "target remote sock",
        "break main",
        "continue",
        "info symbol syscall_entry",
        "delete",
        "continue",
    ];
    let mut gdb = desk.command("gdb -nx -batch");
    for line in commands {
        gdb.args(["-ex", line]);
    }
    let output = gdb.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    has(
        &shown,
        &[
            "Breakpoint 1, main (",
            "in section .text of target:/zvmm/guest-kernel",
            "exited with code 07",
        ],
    );
    assert_eq!(run.end().code, Some(7), "{shown}");
}

#[test]
fn control_c_stops_a_loop() {
    let Some(desk) = desk("endless") else { return };
    for cpus in ["1", "2"] {
        let run = Run::on_socket(&desk, cpus, "./endless");
        let mut client = Client::on_socket(&desk);
        assert!(client.ask("?").starts_with("T05thread:"));
        for _ in 0..20 {
            client.send("vCont;c");
            std::thread::sleep(Duration::from_millis(3));
            client.0.write_all(b"\x03").unwrap();
            let stop = client.receive();
            assert!(stop.starts_with("T02thread:"), "{stop}");
            // Registers can be had of each thread, the one that waits for its page included.
            for thread in client
                .ask("qfThreadInfo")
                .trim_start_matches('m')
                .split(',')
            {
                assert_eq!(client.ask(&format!("Hg{thread}")), "OK");
                let registers = client.ask("g");
                assert!(!registers.starts_with('E'), "{thread}: {registers}");
            }
        }
        client.send("k");
        assert_eq!(run.end().code, Some(137));
    }
}

#[test]
fn whatever_is_sent_the_program_goes_on() {
    let Some(desk) = desk("endless") else { return };
    let long = vec![b'a'; 1 << 20];
    let garbage: [&[u8]; 9] = [
        b"",
        b"\0\0\0",
        b"$#00",
        &framed("m0,ffffffffffffffff"),
        &[&framed("vCont;s")[..], b"$$$###+++---\x03\x03"].concat(),
        b"GET / HTTP/1.1\r\n\r\n",
        &framed("vCont;c:1;s:0;t:-1"),
        &framed("G00"),
        &long,
    ];
    for bytes in garbage {
        let run = Run::on_socket(&desk, "1", "hello");
        let mut client = UnixStream::connect(desk.path("sock")).unwrap();
        // It may hang up before all is sent.
        let _ = client.write_all(bytes);
        drop(client);
        let said = run.end();
        assert_eq!(said.code, Some(0), "{bytes:x?}: {said:#?}");
        assert!(said.out.contains("hello"), "{bytes:x?}: {said:#?}");
    }
    // Packets that make sense and ask for what is not there.
    let run = Run::on_socket(&desk, "1", "./endless");
    let mut client = Client::on_socket(&desk);
    for (packet, reply) in [
        ("m0,10", "E0e"),
        ("mfffffffffffffff0,20", "E0e"),
        ("M0,1:00", "E0e"),
        ("Hgdead", "OK"),
        ("g", "E79"),
        ("Z0,7fff00000000,1", "E"),
        ("z0,7fff00000000,1", "E"),
        ("Z2,401000,8", ""),
        ("vFile:open:2f6574632f706173737764,0,0", "F-1,02"),
        ("vFile:pread:9,10,0", "F-1,"),
        ("nonsense", ""),
    ] {
        let said = client.ask(packet);
        let well = match reply {
            "" => said.is_empty(),
            reply => said.starts_with(reply),
        };
        assert!(well, "{packet}: {said:?}, not {reply:?}");
    }
    client.send("k");
    assert_eq!(run.end().code, Some(137));
}

#[test]
fn ports_and_paths_that_cannot_be_listened_at() {
    let desk = Desk::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    fs::write(desk.path("there"), "mine").unwrap();
    for (place, parts) in [
        (port.to_string(), ["cannot listen at port", "in use"]),
        ("unix:there".into(), ["cannot listen at there", "in use"]),
        (
            "unix:no/where".into(),
            ["cannot listen at no/where", "another place"],
        ),
        ("gdb".into(), ["give a port from 0 to 65535", "unix:PATH"]),
    ] {
        let said = desk.say(&format!("zvmm run --gdb {place} hello"));
        assert_eq!((said.code, said.out.as_str()), (Some(120), ""), "{said:#?}");
        has(&said.err, &parts);
    }
    assert_eq!(fs::read_to_string(desk.path("there")).unwrap(), "mine");
}

#[test]
fn a_port_that_is_free() {
    let Some(desk) = desk("endless") else { return };
    let run = Run::start(&desk, "1", "0", "./endless");
    let connect = || TcpStream::connect(run.address()).unwrap();
    let mut client = Client(connect());
    client.0.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(client.ask("?").starts_with("T05thread:"));
    // Another one waits until this one leaves.
    let mut second = Client(connect());
    second
        .0
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    second.send("?");
    let kind = second.0.read(&mut [0]).unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut));
    drop(client);
    second.0.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(second.receive().starts_with("T05thread:"));
    second.send("k");
    assert_eq!(run.end().code, Some(137));
}
