//! The limits of templates. Everything is counted before it is done, so a template over a limit fails before it uses
//! memory or time.

/// The limits of one sort of template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of source.
    pub source: usize,
    /// Bytes of output.
    pub output: usize,
    /// Nesting depth of actions and parentheses; each `else if` and `else with` is one deeper.
    pub nesting: usize,
    /// Executed nodes: each text, action, control structure and argument, each time it is reached.
    pub nodes: usize,
    /// Bytes produced in all: every string that a function returns, and the output.
    pub made: usize,
}

impl Limits {
    /// Header values.
    pub const HEADER: Self = Self { source: 4 << 10, output: 8 << 10, nesting: 64, nodes: 10_000, made: 256 << 10 };
    /// Environment variable values.
    pub const ENV: Self = Self { source: 64 << 10, output: 64 << 10, ..Self::HEADER };
}

/// What a template has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Executed nodes.
    pub nodes: usize,
    /// Bytes made.
    pub made: usize,
}

/// A limit that would be exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    Nodes(usize),
    Made(usize),
    Output(usize),
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nodes(limit) => write!(f, "the template executes more than {limit} nodes"),
            Self::Made(limit) => write!(f, "the template produces more than {limit} bytes in all"),
            Self::Output(limit) => write!(f, "the template renders to more than {limit} bytes"),
        }
    }
}

/// Counts what one rendering costs.
pub(super) struct Meter {
    limits: Limits,
    cost: Cost,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, cost: Cost::default() }
    }

    pub(super) fn cost(&self) -> Cost {
        self.cost
    }

    pub(super) fn nodes(&mut self, count: usize) -> Result<(), Exceeded> {
        let nodes = self.cost.nodes.saturating_add(count);
        if nodes > self.limits.nodes {
            return Err(Exceeded::Nodes(self.limits.nodes));
        }
        self.cost.nodes = nodes;
        Ok(())
    }

    /// Work that only reads `bytes`: a node for each KiB.
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.nodes(bytes >> 10)
    }

    pub(super) fn made(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let made = self.cost.made.saturating_add(bytes);
        if made > self.limits.made {
            return Err(Exceeded::Made(self.limits.made));
        }
        self.cost.made = made;
        Ok(())
    }
}

/// Bytes that grow only as far as the limits allow.
pub(super) struct Sink<'a> {
    bytes: &'a mut Vec<u8>,
    meter: &'a mut Meter,
    is_output: bool,
}

impl<'a> Sink<'a> {
    /// A string that a function makes.
    pub(super) fn string(bytes: &'a mut Vec<u8>, meter: &'a mut Meter) -> Self {
        Self { bytes, meter, is_output: false }
    }

    /// What the template renders to.
    pub(super) fn output(bytes: &'a mut Vec<u8>, meter: &'a mut Meter) -> Self {
        Self { bytes, meter, is_output: true }
    }

    /// For work other than the bytes written here.
    pub(super) fn meter(&mut self) -> &mut Meter {
        self.meter
    }

    fn charge(&mut self, count: usize) -> Result<(), Exceeded> {
        if self.is_output && self.bytes.len().saturating_add(count) > self.meter.limits.output {
            return Err(Exceeded::Output(self.meter.limits.output));
        }
        self.meter.made(count)
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), Exceeded> {
        self.charge(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn put_char(&mut self, c: char) -> Result<(), Exceeded> {
        self.put(c.encode_utf8(&mut [0; 4]).as_bytes())
    }

    /// Appends `byte` `count` times.
    pub(super) fn fill(&mut self, byte: u8, count: usize) -> Result<(), Exceeded> {
        self.charge(count)?;
        self.bytes.resize(self.bytes.len() + count, byte);
        Ok(())
    }
}
