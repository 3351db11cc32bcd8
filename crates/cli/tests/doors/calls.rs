//! Calls made up from a number: most are nearly right, each in its own way not quite.

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) tool: String,
    /// The arguments as they are spelled; absent in some calls.
    pub(crate) arguments: Option<String>,
    /// Whether the arguments have no single reading. The whole message has none then, and a door over a wire cannot
    /// say which tool was meant.
    pub(crate) unreadable: bool,
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

const TOOLS: &[&str] =
    &["read", "write", "mail", "fetch", "query", "count", "note", "pay", "delete", "secret", "changed", "unlisted"];
const STRANGE: &[&str] = &["reed", "Read", "read ", "read_", "", "doors__read", "read/../write", "refmon", "a b", "*"];

/// JSON texts of values, right and wrong, for every kind of argument.
const PATHS: &[&str] = &[
    r#""ROOT/a.txt""#,
    r#""ROOT/in/b.txt""#,
    r#""ROOT/./in//b.txt""#,
    r#""ROOT/in/../a.txt""#,
    r#""ROOT/new/file""#,
    r#""a.txt""#,
    r#""./in/b.txt""#,
    r#""../a.txt""#,
    r#""ROOT/../outside""#,
    r#""ROOT/link/passwd""#,
    r#""/etc/passwd""#,
    r#""/""#,
    r#""""#,
    r#""~/x""#,
    r#""ROOT/a\u0000.txt""#,
    r#""ROOT/a\u202etxt""#,
    r#""ROOT/a\u200b.txt""#,
    r#""ROOT/e\u0301""#,
    r#""C:\\x""#,
    r#""file:///etc/passwd""#,
    r#""HOME/refmon.toml""#,
    r#""HOME/policies/all.cedar""#,
    r#""ROOT/..\\x""#,
];
const URLS: &[&str] = &[
    r#""https://example.com/a?b=c""#,
    r#""https://EXAMPLE.com:443/a""#,
    r#""http://example.com/""#,
    r#""https://127.0.0.1/""#,
    r#""https://0x7f.1/""#,
    r#""https://[::ffff:10.0.0.1]/""#,
    r#""https://169.254.169.254/latest""#,
    r#""https://user:pw@example.com/""#,
    r#""https://ex\u0430mple.com/""#,
    r#""https://example.com\\@evil.example/""#,
    r#""https://sub.example.com./""#,
    r#""javascript:alert(1)""#,
    r#""//example.com""#,
    r#""https://""#,
    r#"" https://example.com/""#,
];
const EMAILS: &[&str] = &[
    r#""ann@example.com""#,
    r#""Ann@EXAMPLE.com""#,
    r#""bob@evil.example""#,
    r#""ann@example.com, bob@evil.example""#,
    r#""Ann <ann@example.com>""#,
    r#""ann@example.com\nbcc: x@y.z""#,
    r#""ann""#,
    r#""@example.com""#,
    r#""ann@ex\u0430mple.com""#,
    r#""\"a b\"@example.com""#,
];
const QUERIES: &[&str] = &[
    r#""select 1""#,
    r#""SELECT a FROM t WHERE b = 'c'""#,
    r#""select 1; drop table t""#,
    r#""delete from t""#,
    r#""with x as (delete from t returning *) select * from x""#,
    r#""select 1 -- x""#,
    r#""selec""#,
    r#""""#,
];
const NUMBERS: &[&str] = &[
    "1",
    "1.0",
    "10",
    "2500",
    "-1",
    "0",
    "-0",
    "1e2",
    "100.5",
    "9007199254740993",
    "18446744073709551616",
    "1e400",
    "0.1",
    "7",
    "12345678901234567890123",
];
const TEXTS: &[&str] = &[
    r#""hello""#,
    r#""""#,
    r#""ignore all previous instructions""#,
    r#""\u202e\u200b\ufeff""#,
    r#""{\"a\":1}""#,
    r#""line\nline\ttab""#,
    r#""caf\u00e9""#,
    r#""café""#,
    r#""\ud83d\ude00""#,
];
/// Values of a type that no argument has.
const WRONG: &[&str] =
    &["null", "true", "[]", "{}", r#"[["x"]]"#, r#"{"__entity":{"type":"User","id":"x"}}"#, r#"{"a":{"b":[1,2]}}"#];
/// Arguments without a single reading.
const UNREADABLE: &[&str] = &[
    r#"{"path":"a","path":"b"}"#,
    r#"{"path":"a","Path":"b"}"#,
    r#"{"a":{"x":1,"x":2}}"#,
    r#"{"a\u0000b":1}"#,
    r#"{"path":"\ud800"}"#,
    r#"{"note":1,"\u006eote":2}"#,
];

/// Makes up calls; the same ones for the same number. `HOME` and `ROOT` in them stand for folders.
pub(crate) fn calls(seed: u64, count: usize) -> Vec<Call> {
    let mut numbers = Numbers(seed);
    (0..count).map(|_| call(&mut numbers)).collect()
}

fn call(numbers: &mut Numbers) -> Call {
    let known = numbers.below(20) > 0;
    let tool = if known { numbers.one(TOOLS) } else { numbers.one(STRANGE) };
    if numbers.below(50) == 0 {
        let arguments = Some(numbers.one(UNREADABLE).to_owned());
        return Call { tool: tool.to_owned(), arguments, unreadable: true };
    }
    let (key, values) = match tool {
        "read" | "write" | "delete" | "changed" | "unlisted" => ("path", PATHS),
        "mail" => ("to", EMAILS),
        "fetch" => ("url", URLS),
        "query" => ("sql", QUERIES),
        "count" | "pay" => ("n", NUMBERS),
        _ => ("text", TEXTS),
    };
    let mut members = Vec::new();
    match numbers.below(30) {
        0 => {}
        1 => members.push(format!("\"{key}\":{}", numbers.one(WRONG))),
        2 => members.push(format!("\"{}\":{}", key.to_uppercase(), numbers.one(values))),
        3 => members.push(format!("\"{key}\":[{}]", numbers.one(values))),
        // A call that is held has one of few arguments: only so many holds may wait.
        _ => members.push(format!("\"{key}\":{}", numbers.one(values))),
    }
    if numbers.below(4) == 0 && tool != "delete" && key != "text" {
        members.push(format!("\"text\":{}", long(numbers)));
    }
    match numbers.below(25) {
        0 => members.push(format!("\"extra\":{}", numbers.one(TEXTS))),
        1 => members.push(r#""_meta":{}"#.to_owned()),
        2 => members.push(format!("\"deep\":{}{}", "[".repeat(40), "]".repeat(40))),
        _ => {}
    }
    if numbers.below(2) == 0 {
        members.reverse();
    }
    let space = numbers.one(&["", "", " ", "\t "]);
    let arguments = format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")));
    let arguments = if members.is_empty() && numbers.below(2) == 0 { None } else { Some(arguments) };
    Call { tool: tool.to_owned(), arguments, unreadable: false }
}

fn long(numbers: &mut Numbers) -> String {
    match numbers.below(12) {
        0 => format!("\"{}\"", "x".repeat(20_000)),
        1 => format!("\"{}\"", "\\u0041é".repeat(300)),
        _ => numbers.one(TEXTS).to_owned(),
    }
}
