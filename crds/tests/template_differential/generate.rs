//! Generates templates: most of them valid, some broken, all determined by the seed.

/// A small deterministic generator (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// True `percent` times in a hundred.
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

#[rustfmt::skip]
const STRINGS: &[&str] = &[
    r#""""#, r#""a""#, r#""abc""#, r#""jupyterlab""#, r#""é""#, r#""世界""#, r#""\xff""#, r#""\xe4\xb8""#,
    r#""a\tb\n""#, r#""<b>&'\"=+ ~\\""#, r#"" ""#, r#""\u00a0\u200b""#, r#""\U0001F600""#, r#""\000\x7f""#,
    r#""\a\b\f\v\r""#, "`raw`", "`a\"b\\n`", "`two\nlines`", "`c\rr`", r#""%d %s""#, r#""true""#, r#""\q""#,
    r#""\400""#, r#""\ud800""#, r#""{{""#, r#""}}""#, r#""/*""#, "\"\u{feff}\u{2028}\"", "\"\u{e000}\u{10ffff}\"",
];

#[rustfmt::skip]
const NUMBERS: &[&str] = &[
    "0", "1", "-1", "+1", "2", "3", "7", "10", "42", "-42", "255", "256", "65", "128512", "1114111", "1114112",
    "55296", "1_000", "0x1F", "0X_f", "-0x1e", "0o17", "0O7", "0b101", "-0b1", "0777", "00", "-0",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551615",
    "0xffffffffffffffff", "1.5", "-0.0", "0.0", ".5", "1.", "1e3", "1E-3", "1e21", "1e20",
    "1e-7", "123456789.0", "0.1", "100000.0", "1e308", "5e-324", "2.5", "3.5", "0.5", "1234.5678", "0x1p4",
    "0x1.8p-2", "0X1P+3", "0x.8p1", "0x1p-1074", "1_0.5_0", "1i", "0i", "1.5i", "1e3i", "1+2i", "-1.5-2e3i",
    "0x1p1+1i", "1+0x1p-2i", "0+0i", "+1-1i", "1_0+2i", "'a'", "'é'", "'世'", "'\\n'", "'\\x00'", "'\\''",
    "'\\377'", "'\\u200b'", "'\"'", "'\\U0001F600'",
];

/// Invalid literals.
#[rustfmt::skip]
const BROKEN: &[&str] = &[
    "08", "0x1+1i", "1e309", "18446744073709551616", "''", "'ab'", r#""\q""#, r#""\400""#, r#""\ud800""#, r#""\'""#, "1+i",
    "1__0", "0b2", "0x", "-", "'", "\"", "1..2", "1i+2i", "+10-i", "0b1+1i", "1e5+1e400i",
];

#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "a", "b ", " ", "\n", "x y", "\t", "\r\n", " \n\t ", "é", "世", "{", "}", "}}", "{ {", "%d", "<a>", "$x",
    "\u{a0}", "-", "text\nmore", "/workspace/", "\u{2003}", "/*", "\"", "0", "{%",
];

const VERBS: &str = "vvvvTtbcdddoOqqxxXUeEfFgGsssspw%z!é ";

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "{{", "}}", "{{-", " -}}", "{{- ", "-}}", "(", ")", "|", ":=", "=", ",", ".", "$", "\"", "'", "`", "end",
    "else", "if", "range", "break", "continue", "define", "template", "block", "with", "nil", "true", "1", "1.5",
    "%", "\\", "\n", "\t", " ", "é", "\u{a0}", "/*", "*/", "$x", ".x", "0x", "e", "i", "_", "-", "+", "{{end}}",
    "{{else}}", "{{break}}", "?", ":", "print", "{{/* c */}}", "\u{200b}", "２", "“", "[", "&", "{{if .}}",
    "{{range 2}}", "{{define \"t\"}}", "{{.}}",
];

/// Functions and their numbers of arguments.
#[rustfmt::skip]
const FUNCTIONS: &[(&str, usize, usize)] = &[
    ("and", 1, 3), ("or", 1, 3), ("not", 1, 1), ("call", 1, 2), ("html", 0, 3), ("js", 0, 3), ("urlquery", 0, 3),
    ("index", 1, 3), ("slice", 1, 4), ("len", 1, 1), ("print", 0, 4), ("println", 0, 3), ("eq", 1, 4), ("ne", 2, 2),
    ("lt", 2, 2), ("le", 2, 2), ("gt", 2, 2), ("ge", 2, 2), ("httpPathPrefix", 1, 1), ("print", 1, 2), ("eq", 2, 2),
];

/// Functions that accept any arguments.
const SAFE_FUNCTIONS: &[(&str, usize, usize)] = &[
    ("and", 1, 3),
    ("or", 1, 3),
    ("not", 1, 1),
    ("html", 1, 2),
    ("js", 1, 2),
    ("urlquery", 1, 2),
    ("print", 0, 4),
    ("println", 1, 2),
    ("eq \"a\" .Foo", 0, 0),
    ("len (print 1)", 0, 0),
    ("slice \"abcé\" 1", 0, 0),
];

const NAMES: &[&str] = &["\"t\"", "\"u\"", "`t`", "\"value\"", "\"\"", "\"\\xff\"", "\"a\\nb\""];

/// Writes one template.
pub struct Generator<'r> {
    random: &'r mut Random,
    text: String,
    /// Variables that are in scope, more or less.
    variables: Vec<String>,
    loops: usize,
    /// Whether to leave out what is likely to fail, so that the template runs to its end.
    is_safe: bool,
}

/// The next template. `cases` are known ones, which are split and recombined.
pub fn template(random: &mut Random, cases: &[String]) -> String {
    let kind = random.below(100);
    if kind < 20 {
        let mut text = random.pick(cases).clone();
        for _ in 0..random.below(3) {
            text = if random.chance(30) { text + random.pick(cases).as_str() } else { mutated(random, &text) };
        }
        return text;
    }
    let is_safe = random.chance(50);
    let mut generator = Generator { random, text: String::new(), variables: vec!["$".to_owned()], loops: 0, is_safe };
    if kind < 45 {
        generator.action(3);
    } else {
        let length = 1 + generator.random.below(5);
        generator.list(3, length);
    }
    let mut text = generator.text;
    if kind >= 85 {
        for _ in 0..=random.below(2) {
            text = mutated(random, &text);
        }
    }
    text
}

fn boundary(random: &mut Random, text: &str) -> usize {
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// `text` with a small change.
fn mutated(random: &mut Random, text: &str) -> String {
    let from = boundary(random, text);
    let mut to = boundary(random, text);
    if to < from || to - from > 6 {
        to = text[from..].chars().next().map_or(from, |c| from + c.len_utf8());
    }
    match random.below(5) {
        0 => format!("{}{}", &text[..from], &text[to..]),
        1 => format!("{}{}{}", &text[..to], &text[from..to], &text[to..]),
        2 => format!("{}{}{}", &text[..from], random.pick(WORDS), &text[to..]),
        _ => format!("{}{}{}", &text[..from], random.pick(WORDS), &text[from..]),
    }
}

impl Generator<'_> {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn space(&mut self) {
        let space = *self.random.pick(&[" ", " ", " ", " ", " ", "  ", "\n", "\t", "\r\n "]);
        self.push(space);
    }

    /// Space that may be left out.
    fn gap(&mut self) {
        if self.random.chance(60) {
            self.space();
        }
    }

    fn open(&mut self) {
        let open = *self.random.pick(&["{{", "{{", "{{ ", "{{ ", "{{- ", "{{-\n", "{{\n"]);
        self.push(open);
    }

    fn close(&mut self) {
        let close = *self.random.pick(&["}}", "}}", " }}", " }}", " -}}", "\n-}}", "\t}}"]);
        self.push(close);
    }

    fn keyword(&mut self, word: &str) {
        self.open();
        self.push(word);
    }

    fn list(&mut self, depth: usize, length: usize) {
        for _ in 0..length {
            self.item(depth);
        }
    }

    fn body(&mut self, depth: usize) {
        let length = self.random.below(3);
        self.list(depth, length);
    }

    fn item(&mut self, depth: usize) {
        match self.random.below(if depth == 0 { 60 } else { 100 }) {
            0..22 => {
                let text = *self.random.pick(TEXTS);
                self.push(text);
            }
            22..26 => {
                let comment = *self.random.pick(&[
                    "{{/* c */}}",
                    "{{- /* a\nb */ -}}",
                    "{{/**/ -}}",
                    "{{- /* }} */}}",
                    "{{/* c}}",
                ]);
                self.push(comment);
            }
            26..32 => self.exit(),
            32..60 => self.action(2),
            60..70 => self.declaration(),
            70..80 => self.branch(depth - 1, "if"),
            80..85 => self.branch(depth - 1, "with"),
            85..92 => self.range(depth - 1),
            _ => self.template_action(depth - 1),
        }
    }

    fn exit(&mut self) {
        if self.loops == 0 && self.random.chance(95) {
            return;
        }
        let word = *self.random.pick(&["break", "continue"]);
        if self.random.chance(50) {
            self.keyword("if ");
            self.pipeline(1);
            self.close();
            self.keyword(word);
            self.close();
            self.keyword("end");
        } else {
            self.keyword(word);
        }
        self.close();
    }

    fn action(&mut self, depth: usize) {
        self.open();
        self.pipeline(depth);
        self.close();
    }

    fn declare(&mut self) -> String {
        let name = *self.random.pick(&["$x", "$y", "$é", "$1", "$_", "$z", "$"]);
        self.variables.push(name.to_owned());
        name.to_owned()
    }

    fn declaration(&mut self) {
        self.open();
        let is_new = self.random.chance(80);
        let name = if is_new { self.declare() } else { self.random.pick(&self.variables).clone() };
        self.push(&name);
        self.gap();
        let signs = match self.is_safe {
            true if is_new => [":=", ":=", ":="],
            true => [":=", "=", "="],
            false if self.random.chance(97) => [":=", ":=", "="],
            false => [",", "= =", "|"],
        };
        let sign = *self.random.pick(&signs);
        self.push(sign);
        self.gap();
        self.pipeline(2);
        self.close();
    }

    /// What follows the variable of a condition or a range.
    fn sign(&mut self) -> &'static str {
        let signs = [" := ", " = ", ":="];
        signs[if self.is_safe { 0 } else { self.random.below(signs.len()) }]
    }

    fn condition(&mut self) {
        if self.random.chance(20) {
            let name = self.declare();
            self.push(&name);
            let sign = self.sign();
            self.push(sign);
        }
        self.pipeline(2);
    }

    fn branch(&mut self, depth: usize, word: &str) {
        let scope = self.variables.len();
        self.keyword(word);
        self.space();
        self.condition();
        self.close();
        self.body(depth);
        while self.random.chance(25) {
            let other = *self.random.pick(&["if", "with"]);
            let next = if self.random.chance(97) { word } else { other };
            self.keyword("else ");
            self.push(next);
            self.space();
            self.condition();
            self.close();
            self.body(depth);
        }
        if self.random.chance(40) {
            self.keyword("else");
            self.close();
            self.body(depth);
        }
        self.end();
        self.variables.truncate(scope);
    }

    fn end(&mut self) {
        if self.random.chance(98) {
            self.keyword("end");
            self.close();
        }
    }

    fn range(&mut self, depth: usize) {
        let scope = self.variables.len();
        self.keyword("range ");
        match self.random.below(10) {
            0..3 => {
                let name = self.declare();
                self.push(&name);
                let sign = self.sign();
                self.push(sign);
            }
            3 if !self.is_safe => {
                let (first, second) = (self.declare(), self.declare());
                let sign = self.sign();
                self.push(&format!("{first}, {second}{sign}"));
            }
            _ => {}
        }
        match self.random.below(10) {
            0..6 => {
                let count = *self.random.pick(&["0", "1", "2", "3", "-1", "(len \"ab\")", "5"]);
                self.push(count);
            }
            _ if self.is_safe => self.push(".Items"),
            6 => self.push("(index \"\\x03\" 0)"),
            7 => self.push(".Items"),
            _ => self.pipeline(2),
        }
        self.close();
        self.loops += 1;
        self.body(depth);
        if self.random.chance(40) {
            self.exit();
        }
        self.loops -= 1;
        if self.random.chance(30) {
            self.keyword("else");
            self.close();
            self.body(depth);
            self.exit();
        }
        self.end();
        self.variables.truncate(scope);
    }

    fn template_action(&mut self, depth: usize) {
        let name = *self.random.pick(NAMES);
        match self.random.below(10) {
            0..4 if self.loops == 0 || self.random.chance(5) => {
                let (scope, loops) = (std::mem::take(&mut self.variables), std::mem::take(&mut self.loops));
                self.variables.push("$".to_owned());
                self.keyword("define ");
                self.push(name);
                self.close();
                self.body(depth);
                self.end();
                (self.variables, self.loops) = (scope, loops);
            }
            4 => {
                self.keyword("block ");
                self.push(name);
                self.space();
                self.pipeline(2);
                self.close();
                let scope = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
                self.body(depth);
                self.end();
                self.variables = scope;
            }
            _ => {
                self.keyword("template ");
                self.push(name);
                if self.random.chance(60) {
                    self.space();
                    self.pipeline(2);
                }
                self.close();
            }
        }
    }

    fn pipeline(&mut self, depth: usize) {
        self.command(depth, false);
        while self.random.chance(20) {
            self.gap();
            self.push("|");
            self.gap();
            self.command(depth, true);
        }
    }

    fn command(&mut self, depth: usize, is_later: bool) {
        match self.random.below(100) {
            0..20 if !is_later => self.operand(depth),
            0..35 => self.printf(depth, is_later),
            35..95 => {
                let functions = if self.is_safe { SAFE_FUNCTIONS } else { FUNCTIONS };
                let (name, least, most) = *self.random.pick(functions);
                self.push(name);
                let mut count = least + self.random.below(most - least + 1);
                count -= usize::from(is_later && count > 0);
                if !self.is_safe && self.random.chance(5) {
                    count = self.random.below(4);
                }
                self.arguments(depth, count);
            }
            _ if self.is_safe && is_later => self.push("print"),
            _ if self.is_safe => self.operand(depth),
            _ => {
                self.operand(depth);
                let count = self.random.below(3);
                self.arguments(depth, count);
            }
        }
    }

    fn arguments(&mut self, depth: usize, count: usize) {
        for _ in 0..count {
            self.space();
            self.operand(depth);
        }
    }

    fn operand(&mut self, depth: usize) {
        match self.random.below(100) {
            0..30 => {
                let text = *self.random.pick(STRINGS);
                self.push(text);
            }
            30..55 => self.number(),
            55..60 => {
                let word = *self.random.pick(&["true", "false"]);
                self.push(word);
            }
            60..64 => self.push("nil"),
            64..70 => {
                let field = *self.random.pick(&[".", ".", ".Foo", ".Foo.Bar", "$.Foo", ".é", ".1", "$.a.b.c"]);
                self.push(field);
            }
            70..78 => {
                let beyond = usize::from(!self.is_safe && self.random.chance(5));
                let name = self.random.below(self.variables.len() + beyond);
                let name = self.variables.get(name).cloned().unwrap_or_else(|| "$x".to_owned());
                self.push(&name);
                if !self.is_safe && self.random.chance(8) {
                    self.push(".Field.Other");
                }
            }
            78 if !self.is_safe => {
                let word = *self.random.pick(&["and", "nosuch", "break", "len", "print.x"]);
                self.push(word);
            }
            79 if !self.is_safe => {
                let literal = *self.random.pick(BROKEN);
                self.push(literal);
            }
            80..83 => {
                let word = *self.random.pick(&["print", "println", "html"]);
                self.push(word);
            }
            _ if depth > 0 => {
                self.push("(");
                self.gap();
                if self.random.chance(5) {
                    let name = self.declare();
                    self.push(&format!("{name} := "));
                }
                self.pipeline(depth - 1);
                self.gap();
                self.push(")");
                if !self.is_safe && self.random.chance(5) {
                    self.push(".Field");
                }
            }
            _ => self.number(),
        }
    }

    fn number(&mut self) {
        match self.random.below(10) {
            0..5 if !self.is_safe => {
                let number = *self.random.pick(NUMBERS);
                self.push(number);
            }
            5 if self.random.chance(25) => {
                for _ in 0..=self.random.below(6) {
                    let c = *self.random.pick(b"0001122589_xXoObBeEpPaf+-.i");
                    self.text.push(char::from(c));
                }
            }
            6 | 7 => {
                let float = f64::from_bits(self.random.next());
                let float = if float.is_finite() { float } else { 0.0 };
                self.push(&format!("{float:e}"));
            }
            8 => {
                let (whole, fraction) = (self.random.below(100_000), self.random.below(1000));
                let exponent = self.random.below(40);
                self.push(&format!("{whole}.{fraction:03}e{}", i64::try_from(exponent).unwrap() - 20));
            }
            9 if self.random.chance(40) => {
                // Few binary digits after the point: decimals that lie half-way between shorter ones.
                let exponent = 1023 + 40 + self.random.below(24) as u64;
                let float = f64::from_bits(exponent << 52 | self.random.next() >> 12);
                self.push(&format!("{float:e}"));
            }
            _ => {
                let bits = self.random.below(64);
                let number = self.random.next() >> bits;
                let sign = *self.random.pick(&["", "-"]);
                self.push(&format!("{sign}{number}"));
            }
        }
    }

    fn printf(&mut self, depth: usize, is_later: bool) {
        self.push("printf \"");
        let directives = self.random.below(4);
        let mut stars = 0;
        for _ in 0..directives {
            stars += self.directive();
        }
        if self.random.chance(5) {
            self.push("%");
        }
        self.push("\"");
        let mut count = directives + stars;
        if self.random.chance(15) {
            count = self.random.below(4);
        }
        self.arguments(depth, count.saturating_sub(usize::from(is_later)));
    }

    /// Writes a directive and says how many `*` it has.
    fn directive(&mut self) -> usize {
        let mut stars = 0;
        if self.random.chance(20) {
            let text = *self.random.pick(&["a", " ", "é", "|", "]", "[1]", "%%", "\\xff", "\\n"]);
            self.push(text);
        }
        self.push("%");
        for _ in 0..self.random.below(3) {
            let flag = *self.random.pick(&["+", "-", "#", "0", " ", "", ""]);
            self.push(flag);
        }
        self.argument_number();
        match self.random.below(10) {
            0..3 => {
                let width = self.random.below(12);
                self.push(&width.to_string());
            }
            3 => {
                self.push("*");
                stars += 1;
            }
            _ => {}
        }
        if self.random.chance(30) {
            self.push(".");
            self.argument_number();
            match self.random.below(10) {
                0..6 => {
                    let precision = self.random.below(25);
                    self.push(&precision.to_string());
                }
                6 => {
                    self.push("*");
                    stars += 1;
                }
                7 => self.push("300"),
                _ => {}
            }
        }
        self.argument_number();
        let verbs: Vec<char> = VERBS.chars().collect();
        let verb = *self.random.pick(&verbs);
        self.text.push(verb);
        stars
    }

    fn argument_number(&mut self) {
        if self.random.chance(5) {
            let number =
                *self.random.pick(&["[1]", "[2]", "[3]", "[0]", "[x]", "[", "[]", "[-1]", "[9]", "[10000000]"]);
            self.push(number);
        }
    }
}
