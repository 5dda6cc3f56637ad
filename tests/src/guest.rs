//! One run of one guest program.

use std::{
    error::Error,
    fmt::{self, Write as _},
    path::Path,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use protocol::{PolicyAction, PolicyCondition};
use vmm::{
    config::{
        FaultDelivery, FileMode, Grant, NamedVmo, Output, Program, RunConfig, SupplyPolicy,
        VmoSource,
    },
    observe::Report,
    outcome::End,
    pager::HostPager,
};

use crate::{Verdicts, guests::test_program};

/// How long a run may take unless its test says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// How long the VMM may take to stop a VM whose time is up.
const WATCHDOG: Duration = Duration::from_secs(20);

/// A program and what it is given.
#[derive(Debug)]
#[must_use = "nothing runs before run()"]
pub struct Guest {
    config: RunConfig,
    on_output: Output,
}

impl Guest {
    /// A test guest.
    pub fn test(name: &str) -> Self {
        let bytes = test_program(name).unwrap_or_else(|| panic!("no test guest {name:?}"));
        Guest::image(name, bytes)
    }

    /// A built-in program.
    pub fn built_in(name: &str) -> Self {
        let mut programs = vmm::guest_image::programs().iter();
        let found = programs.find(|(known, _)| *known == name);
        let (_, bytes) = found.unwrap_or_else(|| panic!("no built-in program {name:?}"));
        Guest::image(name, bytes)
    }

    /// An ELF image.
    pub fn image(name: &str, bytes: &'static [u8]) -> Self {
        let name = name.into();
        Guest::program(Program::Image { name, bytes })
    }

    /// A program from anywhere.
    pub fn program(program: Program) -> Self {
        Guest {
            config: RunConfig {
                timeout: Some(TIMEOUT),
                measure_memory: true,
                ..RunConfig::new(program)
            },
            on_output: Output::Stdout,
        }
    }

    /// How much is supplied at a fault.
    pub fn supply(mut self, policy: SupplyPolicy) -> Self {
        self.config.supply = policy;
        self
    }

    /// How much later requests are answered.
    pub fn fault_delay(mut self, delay: Duration) -> Self {
        self.config.fault_delay = Some(delay);
        self
    }

    /// How faults come.
    pub fn fault_delivery(mut self, delivery: FaultDelivery) -> Self {
        self.config.fault_delivery = delivery;
        self
    }

    /// Its arguments.
    pub fn args<T: ToString>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.config.args = args.into_iter().map(|arg| arg.to_string()).collect();
        self
    }

    /// Number of vCPUs; 1 if not said.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.config.cpus = cpus;
        self
    }

    /// Limit on resident VMO memory in bytes.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.config.memory = Some(bytes);
        self
    }

    /// A resource.
    pub fn grant(mut self, grant: Grant) -> Self {
        self.config.grants.push(grant);
        self
    }

    /// The policy of its job has this entry, too.
    pub fn policy(mut self, condition: PolicyCondition, action: PolicyAction) -> Self {
        self.config.policy.push((condition, action));
        self
    }

    /// Time limit of the run; [`TIMEOUT`] if not said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = Some(timeout);
        self
    }

    fn vmo(mut self, name: &str, source: VmoSource) -> Self {
        let name = name.into();
        self.config.vmos.push(NamedVmo { name, source });
        self
    }

    /// A start-up VMO from a file.
    pub fn file(self, name: &str, path: &Path, mode: FileMode) -> Self {
        let path = path.into();
        self.vmo(name, VmoSource::File { path, mode })
    }

    /// A start-up VMO from a pager of the test, read-only.
    pub fn pager(self, name: &str, pager: Arc<dyn HostPager>) -> Self {
        let writable = false;
        self.vmo(name, VmoSource::Content { pager, writable })
    }

    /// The start-up VMO `exec` that some test guests ask for: zeros, with EXECUTE.
    pub fn exec(self, size: u64) -> Self {
        let executable = true;
        self.vmo("exec", VmoSource::Zero { size, executable })
    }

    /// Is called with everything that the program writes, before the program goes on.
    pub fn on_output(mut self, see: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        self.on_output = Output::Sink(Arc::new(see));
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Run {
        self.try_run()
            .unwrap_or_else(|error| panic!("the run did not start: {}", chain(&error)))
    }

    /// Runs it to its end, if it starts.
    ///
    /// # Errors
    /// What kept the run from starting.
    pub fn try_run(self) -> Result<Run, vmm::vm::Error> {
        let Guest {
            mut config,
            on_output,
        } = self;
        let what = format!(
            "{:?} {:?} on {} vCPU(s)",
            name(&config.program),
            config.args,
            config.cpus
        );
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&written);
        config.output = Output::Sink(Arc::new(move |bytes| {
            sink.lock().unwrap().extend_from_slice(bytes);
            if let Output::Sink(see) = &on_output {
                see(bytes);
            }
        }));
        let limit = config.timeout.map_or(TIMEOUT, |limit| limit + WATCHDOG);
        let (done, ended) = mpsc::channel();
        // Not joined on a time-out: a VM that cannot be stopped ends with the process.
        thread::spawn(move || {
            // Nobody waits any more when the deadline has passed.
            let _ = done.send(vmm::vm::run(config));
        });
        let outcome = match ended.recv_timeout(limit) {
            Ok(outcome) => outcome?,
            Err(why) => {
                let written = String::from_utf8_lossy(&written.lock().unwrap()).into_owned();
                panic!("{what}: the VMM hangs or has panicked ({why})\n--- output\n{written}");
            }
        };
        let output = String::from_utf8_lossy(&written.lock().unwrap()).into_owned();
        Ok(Run {
            what,
            end: outcome.end,
            output,
            report: outcome.report,
        })
    }
}

fn name(program: &Program) -> String {
    match program {
        Program::File(path) => path.display().to_string(),
        Program::Image { name, .. } => name.clone(),
    }
}

/// An error and its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// A run that has ended.
#[derive(Debug)]
pub struct Run {
    what: String,
    /// How it ended.
    pub end: End,
    /// What the program wrote.
    pub output: String,
    /// Its figures.
    pub report: Report,
}

impl Run {
    /// Fails the test.
    pub fn fail(&self, why: impl fmt::Display) -> ! {
        panic!("{}: {why}\n{self}", self.what)
    }

    /// It must have exited with this code.
    #[track_caller]
    pub fn exited(self, code: i64) -> Self {
        if self.end != End::Exited(code) {
            self.fail(format_args!("not exit code {code}"));
        }
        self
    }

    /// It must have been killed by an exception whose report has all of these `parts`.
    #[track_caller]
    pub fn killed(self, parts: &[&str]) -> Self {
        let End::Exception(report) = &self.end else {
            self.fail("not killed by an exception");
        };
        for part in parts {
            if !report.contains(part) {
                self.fail(format_args!("no {part:?} in the report"));
            }
        }
        self
    }

    /// What a test guest said about its cases; fails if one failed or the guest did not get through.
    #[track_caller]
    pub fn verdicts(self) -> Verdicts {
        match Verdicts::parse(&self.output) {
            Ok(verdicts) if self.end == End::Exited(0) => verdicts,
            Ok(_) => self.fail("all cases passed, but the exit code is not 0"),
            Err(why) => self.fail(why),
        }
    }

    /// Resident pages of the VMO of this name at the end.
    #[track_caller]
    pub fn resident_pages(&self, name: &str) -> u64 {
        let mut vmos = self.report.vmos.iter();
        match vmos.find(|vmo| vmo.name == name) {
            Some(vmo) => vmo.resident_pages,
            None => self.fail(format_args!("no VMO {name:?} in the report")),
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "--- end\n{:#?}", self.end)?;
        if let End::Exception(report) | End::GuestKernel(report) = &self.end {
            writeln!(f, "{report}")?;
        }
        writeln!(f, "--- output\n{}", self.output)?;
        writeln!(f, "--- report\n{}", self.report)
    }
}
