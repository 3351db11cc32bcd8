use std::path::{Path, PathBuf};

use super::*;
use crate::contract::{ArgumentPath, Decimal4, Effect, Effects, HoldMode, Role};
use crate::ids::{Operation, ServerName, ToolName};
use crate::ports::Location;

/// A file system in which every path is its own canonical form, `/root` is the root and `/root/guard` is guarded.
struct Plain;

impl Files for Plain {
    fn locate(&self, absolute: &str, roots: &[PathBuf]) -> Result<Location, Fault> {
        let canonical = absolute.replace("/link/..", "/elsewhere");
        let root = roots.iter().position(|root| canonical.starts_with(&format!("{}/", root.display())));
        let (guarded, encloses) =
            (canonical.starts_with("/root/guard"), Path::new("/root/guard").starts_with(&canonical));
        let personal = canonical.starts_with("/proc");
        Ok(Location { root, exists: false, guarded, encloses, personal, canonical })
    }
}

fn contract(path: &str, kind: Kind) -> Contract {
    let path = ArgumentPath::parse(path).unwrap();
    let rule = ArgumentRule { path: path.clone(), kind, role: Role::Other };
    Contract {
        server: ServerName::parse("s").unwrap(),
        operation: Operation::Tool(ToolName::parse("t").unwrap()),
        version: 1,
        pin: None,
        effects: Effects::new([Effect::Read]).unwrap(),
        required_scopes: Vec::new(),
        hold: HoldMode::Policy,
        undeclared: false,
        arguments: [(path, rule)].into(),
    }
}

/// The facts of one value under a kind, or why it is refused.
fn of(kind: Kind, value: &str) -> Result<ArgumentFacts, ReasonCode> {
    let text = format!("{{\"a\":{value}}}");
    let json = Json::parse(text.as_bytes()).unwrap();
    let types = fact_types(&kind, false);
    match extract(&contract("a", kind), &json, &Plain) {
        Ok(facts) => {
            let facts = facts.of("a").unwrap().clone();
            assert_eq!(
                facts.keys().copied().collect::<std::collections::BTreeSet<_>>(),
                types.iter().map(|(name, _)| *name).collect()
            );
            Ok(facts)
        }
        Err(Obstacle::Refused(refusal)) => Err(refusal.reason),
        Err(Obstacle::Fault(fault)) => panic!("{fault}"),
    }
}

fn text(value: &str) -> String {
    format!("\"{value}\"")
}

#[test]
fn a_path_that_is_read_in_two_ways_is_refused() {
    let kind = || Kind::Path { roots: vec![PathBuf::from("/root")], base: None };
    for value in [
        "~/x",
        "~root/x",
        " /root/x",
        "/root/x ",
        "'/root/x'",
        "/root\\\\x",
        "file:///root/x",
        "FILE:/root/x",
        "a/b",
        ".",
        "/root/link/../x",
        "/root/a\\u202eb",
        "/root/a\\u200bb",
        "/root/a\\nb",
        "/root/e\\u0301",
        "/proc/self/cwd/a",
    ] {
        assert_eq!(of(kind(), &text(value)), Err(ReasonCode::AmbiguousText), "{value}");
    }
    assert_eq!(of(kind(), &text("")), Err(ReasonCode::KindMismatch));
    assert_eq!(of(kind(), "7"), Err(ReasonCode::KindMismatch));
    assert_eq!(of(kind(), &text("/elsewhere/x")), Err(ReasonCode::OutsideRoots));
    assert_eq!(of(kind(), &text("/root/guard/x")), Err(ReasonCode::GuardedPath));
    let facts = of(kind(), &text("/root/.git/Config.TOML")).unwrap();
    assert_eq!(facts["hidden"], Fact::Flag(true));
    assert_eq!(facts["extension"], Fact::Text("toml".into()));
    assert_eq!(facts["root"], Fact::Text("/root".into()));
}

#[test]
fn a_folder_above_the_guard_can_be_read() {
    let kind = || Kind::Path { roots: Vec::new(), base: None };
    let by = |effect: Effect, path: &str| {
        let effects = Effects::new([effect]).unwrap();
        let text = format!("{{\"a\":\"{path}\"}}");
        let json = Json::parse(text.as_bytes()).unwrap();
        match extract(&Contract { effects, ..contract("a", kind()) }, &json, &Plain) {
            Err(Obstacle::Refused(refusal)) => Some(refusal.reason),
            other => other.map(|_| None).unwrap(),
        }
    };
    for path in ["/root", "/"] {
        assert_eq!(by(Effect::Read, path), None, "{path}");
        assert_eq!(by(Effect::External, path), None, "{path}");
        for effect in [Effect::Write, Effect::Destructive, Effect::Admin] {
            assert_eq!(by(effect, path), Some(ReasonCode::GuardedPath), "{path}");
        }
    }
    assert_eq!(by(Effect::Destructive, "/root/work"), None);
    assert_eq!(by(Effect::Read, "/root/guard/x"), Some(ReasonCode::GuardedPath));
}

#[test]
fn a_relative_path_needs_a_base() {
    let kind = Kind::Path { roots: vec![PathBuf::from("/root")], base: Some(PathBuf::from("/root/sub")) };
    assert_eq!(of(kind.clone(), &text("a.txt")).unwrap()["value"], Fact::Text("/root/sub/a.txt".into()));
    assert_eq!(of(kind, &text("/outside")), Err(ReasonCode::OutsideRoots));
    let anywhere = of(Kind::Path { roots: vec![], base: None }, &text("/etc/passwd")).unwrap();
    assert_eq!(anywhere["inside"], Fact::Flag(false));
}

fn any_url() -> Kind {
    Kind::Url { schemes: vec!["https".into(), "http".into()], hosts: vec![], private: false }
}

#[test]
fn an_address_inside_is_recognised_in_every_spelling() {
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "0",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "169.254.169.254",
        "0xA9FEA9FE",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:1::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fc00::1]",
        "[ff02::1]",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "metadata.google.internal",
        "printer.local",
        "intranet",
        "127.0.0.1.nip.io",
        "localtest.me",
        "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
        "127\u{3002}0\u{3002}0\u{3002}1",
        "168.63.129.16",
    ] {
        assert_eq!(of(any_url(), &text(&format!("http://{host}/x"))), Err(ReasonCode::PrivateAddress), "{host}");
    }
    for host in [
        "example.com",
        "8.8.8.8",
        "172.32.0.1",
        "[2606:4700::1]",
        "100.128.0.1",
        "b\u{fc}cher.example",
        "nip.io.example.com",
    ] {
        assert!(of(any_url(), &text(&format!("https://{host}/x"))).is_ok(), "{host}");
    }
    let allowed = Kind::Url { schemes: vec!["http".into()], hosts: vec![], private: true };
    assert_eq!(of(allowed, &text("http://127.0.0.1:8080/x")).unwrap()["port"], Fact::Long(8080));
}

#[test]
fn a_url_that_parsers_read_differently_is_refused() {
    for url in [
        "https://good.example@evil.example/",
        "https://@evil.example/",
        "https://a:b@evil.example/",
        "https:\\\\\\\\evil.example",
        "https://a.example\\\\@evil.example",
        " https://a.example",
        "https://a.example/ b",
        "https://fa\u{df}.example/",
        "https://\u{3c2}.example/",
        "https://\u{1e9e}.example/",
        "https://\u{13a0}.example/",
    ] {
        assert_eq!(of(any_url(), &text(url)), Err(ReasonCode::AmbiguousText), "{url}");
    }
    for host in [
        ";.a.example",
        "'.a.example",
        "{.a.example",
        "}.a.example",
        "\\\".a.example",
        "`.a.example",
        "!.a.example",
        "$,.a.example",
        "%2e.a.example",
    ] {
        let url = format!("http://127.0.0.1{host}/");
        assert_eq!(of(any_url(), &text(&url)), Err(ReasonCode::AmbiguousText), "{url}");
    }
    for host in
        ["a-b.c_d.example", "xn--bcher-kva.example", "b\u{fc}cher.example", "a.example:8443", "[2606:4700::1111]:443"]
    {
        assert!(of(any_url(), &text(&format!("https://{host}/x"))).is_ok(), "{host}");
    }
    for url in ["/relative", "a.example", "https://", "mailto:a@b.example"] {
        assert!(of(any_url(), &text(url)).is_err(), "{url}");
    }
    assert_eq!(of(any_url(), &text("ftp://a.example/")), Err(ReasonCode::HostRefused));
    assert_eq!(of(any_url(), &text("javascript:alert(1)")), Err(ReasonCode::HostRefused));
}

#[test]
fn allowed_hosts_are_compared_by_label() {
    let kind = || Kind::Url { schemes: vec!["https".into()], hosts: vec!["corp.example".into()], private: false };
    for host in ["corp.example", "a.corp.example", "A.B.CORP.EXAMPLE", "corp.example."] {
        assert!(of(kind(), &text(&format!("https://{host}/"))).is_ok(), "{host}");
    }
    for url in [
        "https://evilcorp.example/",
        "https://corp.example.evil.test/",
        "https://evil.test/?q=.corp.example",
        "https://evil.test/#corp.example",
    ] {
        assert_eq!(of(kind(), &text(url)), Err(ReasonCode::HostRefused), "{url}");
    }
    let facts = of(any_url(), &text("https://a.b.example.co.uk/p")).unwrap();
    assert_eq!(facts["domain"], Fact::Text("example.co.uk".into()));
}

#[test]
fn a_mail_address_is_one_address() {
    let any = || Kind::Email { domains: vec![] };
    for bad in [
        "a",
        "a@",
        "@b.example",
        "a@b",
        "a b@c.example",
        "A <a@b.example>",
        "a@b.example,c@d.example",
        "a@b.example\\nBcc: x@y.example",
        "\\\"a b\\\"@c.example",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "a..b@c.example",
        "a@b_c.example",
        "a@b%2eexample",
        "a%evil.example@b.example",
        "evil.example!a@b.example",
        "-oQ@b.example",
        "`id`@b.example",
        "/etc/x@b.example",
        "a|b@c.example",
        "$HOME@b.example",
        "a@stra\u{df}e.example",
    ] {
        assert!(of(any(), &text(bad)).is_err(), "{bad}");
    }
    let facts = of(any(), &text("Ann.Lee+x@Sub.Example.ORG")).unwrap();
    assert_eq!(facts["value"], Fact::Text("Ann.Lee+x@sub.example.org".into()));
    let ours = || Kind::Email { domains: vec!["corp.example".into()] };
    assert!(of(ours(), &text("a@corp.example")).is_ok());
    for other in ["a@evilcorp.example", "a@corp.example.evil.test", "a@sub.corp.example"] {
        assert_eq!(of(ours(), &text(other)), Err(ReasonCode::HostRefused), "{other}");
    }
    assert!(of(Kind::Domain { domains: vec!["corp.example".into()] }, &text("a.corp.example")).is_ok());
    assert!(of(Kind::Domain { domains: vec!["corp.example".into()] }, &text("evilcorp.example")).is_err());
}

#[test]
fn an_amount_is_exact_and_within_its_limit() {
    let kind = || Kind::Amount { max: Some(Decimal4(1_000_000)) };
    for (value, amount) in
        [("100", 1_000_000), ("99.9999", 999_999), ("\"12.50\"", 125_000), ("-100", -1_000_000), ("1e2", 1_000_000)]
    {
        assert_eq!(of(kind(), value).unwrap()["value"], Fact::Decimal(amount), "{value}");
    }
    for value in ["100.0001", "-100.0001", "\"100.01\"", "1e3"] {
        assert_eq!(of(kind(), value), Err(ReasonCode::OverLimit), "{value}");
    }
    for value in ["1.00001", "\"1,000\"", "\"$5\"", "\"1e2\"", "\"\"", "\".5\"", "true", "1e300"] {
        assert_eq!(of(kind(), value), Err(ReasonCode::KindMismatch), "{value}");
    }
}

#[test]
fn a_command_that_a_shell_would_change_names_no_program() {
    let only = || Kind::Command { programs: vec!["ls".into()] };
    assert_eq!(of(only(), &text("ls -la /tmp")).unwrap()["words"], Fact::Long(2));
    for value in [
        "ls; rm x",
        "ls | sh",
        "ls $(x)",
        "ls `x`",
        "ls > f",
        "ls \\n rm",
        "X=1 ls",
        "l\\\\s",
        "\\\"ls\\\" x",
        "rm x",
        "/bin/ls",
        "ls *",
        "LS",
    ] {
        assert_eq!(of(only(), &text(value)), Err(ReasonCode::ProgramRefused), "{value}");
    }
    let any = of(Kind::Command { programs: vec![] }, &text("a && b")).unwrap();
    assert_eq!((&any["shell"], &any["program"]), (&Fact::Flag(true), &Fact::Text(String::new())));
    assert_eq!(of(only(), "[\"ls\", \"a; rm b\"]").unwrap()["shell"], Fact::Flag(false));
    assert_eq!(of(only(), "[]"), Err(ReasonCode::KindMismatch));
    assert_eq!(of(only(), "[\"ls\", 7]"), Err(ReasonCode::KindMismatch));
}

#[test]
fn sql_reads_only_if_nothing_in_it_can_do_more() {
    let read = || Kind::Sql { write: false };
    for sql in [
        "SELECT 1",
        "select a, count(*) from t where b in (1,2) group by a",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "WITH x(a) AS (SELECT 1) SELECT a FROM x",
        "SELECT upper(name) FROM t -- why\n",
        "SELECT 'it''s; DROP TABLE t' AS s",
        "SELECT a FROM t UNION ALL SELECT b FROM u",
        "SELECT coalesce(a, 'x') FROM t;",
        "SELECT a, t.\\\"b\\\" FROM t WHERE a='it''s' AND b <> $1 AND c ->> 'k' LIKE 'x%'",
        "SELECT name FROM b\u{fc}cher WHERE d = DATE '2026-01-01'",
        "SELECT 'a', 'b' FROM t JOIN u ON t.a = u.a AND t.b IN ('x','y') WHERE c IN ('z') ORDER BY 'a', 'b'",
        "SELECT name FROM sqlite_master WHERE type = 'table'",
        "SELECT \\\"First Name\\\" FROM t",
    ] {
        assert_eq!(
            of(read(), &text(sql).replace('\n', "\\n")).map(|facts| facts["write"].clone()),
            Ok(Fact::Flag(false)),
            "{sql}"
        );
    }
    for sql in [
        "DELETE FROM t",
        "SELECT 1; DROP TABLE t",
        "INSERT INTO t VALUES (1)",
        "SELECT * INTO u FROM t",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
        "SELECT pg_terminate_backend(1)",
        "SELECT setval('s', 1)",
        "SELECT pg_catalog.lo_import('/etc/passwd')",
        "SELECT \\\"pg_sleep\\\"(9)",
        "SELECT * FROM t FOR UPDATE",
        "COPY t TO '/tmp/x'",
        "ATTACH 'x' AS y",
        "PRAGMA writable_schema=1",
        "CALL p()",
        "EXPLAIN ANALYZE DELETE FROM t",
        "not sql at all",
        "",
        "SELECT 1 /*!50000 INTO OUTFILE '/x' */",
        "SELECT 'a\\\\'; DROP TABLE t; -- '",
        "SELECT 1 # x",
        "SELECT 1 --x",
        "SELECT $$a$$",
        "SELECT load_extension('x')",
        "UPDATE t SET a=1",
        "TRUNCATE t",
        "SET ROLE admin",
        "VACUUM",
        "EXECUTE p",
        "SELECT a FROM t LOCK IN SHARE MODE",
    ] {
        assert_eq!(of(read(), &text(sql)), Err(ReasonCode::WriteRefused), "{sql}");
    }
    let verbs = of(Kind::Sql { write: true }, &text("select 1; drop table t")).unwrap();
    assert_eq!(verbs["verbs"], Fact::Texts(vec!["drop".into(), "select".into()]));
}

#[test]
fn sql_that_databases_read_differently_does_not_only_read() {
    let read = || Kind::Sql { write: false };
    for sql in [
        // What one database takes for the inside of a literal, and another for the next statement.
        "SELECT 1 -- \\r; DROP TABLE t",
        "SELECT q'[' FROM (SELECT 1 AS q); DROP TABLE t; -- ]'",
        "SELECT nq'[' , load_extension('/x') , ']' FROM (SELECT 1 AS nq) x",
        "SELECT r'''x' FROM (SELECT 1 AS r); DROP TABLE t; -- '''",
        "SELECT (1)[']; DROP TABLE t; -- ']",
        "SELECT `a` FROM t",
        "SELECT E'a'",
        "SELECT U&'a'",
        "SELECT X'41'",
        "SELECT 'a'\\\"b\\\"",
        "SELECT 'a",
        // A table that is a file, an address or the file system; words that act without a semicolon before them.
        "SELECT * FROM \\\"/etc/passwd\\\"",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM t, 'http://a.example/x.csv'",
        "SELECT * FROM (SELECT * FROM t JOIN 'x.json' ON 1=1) y",
        "SELECT * FROM ('x.json')",
        "WITH x AS (SELECT * FROM \\\"a.parquet\\\") SELECT * FROM x",
        "SELECT data FROM fsdir WHERE path='/etc/passwd'",
        "SELECT * FROM pragma_database_list",
        "SELECT 1 SHUTDOWN",
        "SELECT 1 FROM t ROLLBACK",
        "SELECT s.NEXTVAL FROM dual",
        "SELECT 1 \u{a0}-- x",
        "SELECT 1 \u{2003}FROM t",
    ] {
        assert_eq!(of(read(), &text(sql)), Err(ReasonCode::WriteRefused), "{sql}");
    }
}

#[test]
fn sql_has_its_verbs_as_facts() {
    let verbs = of(Kind::Sql { write: true }, &text("select 1; drop table t")).unwrap();
    assert_eq!(verbs["verbs"], Fact::Texts(vec!["drop".into(), "select".into()]));
}

#[test]
fn sql_that_takes_long_to_parse_is_not_parsed() {
    let read = || Kind::Sql { write: false };
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(of(read(), &text(&deep)), Err(ReasonCode::WriteRefused), "deep nesting is bounded");
    // A chain of operators nests as deep, without a parenthesis.
    for more in ["+1", " OR a", " UNION SELECT 1", "::int"] {
        let deep = format!("SELECT a{}", more.repeat(60_000 / more.len()));
        assert_eq!(of(read(), &text(&deep)), Err(ReasonCode::WriteRefused), "{more}");
    }
    for (open, close) in
        [("POSITION(", " IN 'b')"), ("(", ")"), ("CASE WHEN ", " THEN 1 END"), ("(SELECT ", ")"), ("abs(", ")")]
    {
        let nested = |depth: usize| format!("SELECT {}'a'{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(of(read(), &text(&nested(9))), Err(ReasonCode::WriteRefused), "{open}");
        assert_eq!(of(read(), &text(&nested(40))), Err(ReasonCode::WriteRefused), "{open}");
        let _parsed_or_not = of(read(), &text(&nested(8))).is_ok();
    }
    assert!(
        of(
            read(),
            &text(
                "SELECT a FROM (SELECT b AS a FROM (SELECT max(abs(c)) AS b FROM t WHERE d IN (SELECT e FROM u)) x) y"
            )
        )
        .is_ok()
    );
    let long = format!("SELECT a FROM t WHERE b IN (1{})", ",1".repeat(1_500));
    assert!(of(read(), &text(&long)).is_ok(), "what is long need not be deep");
}

#[test]
fn the_plain_kinds_are_what_they_say() {
    assert_eq!(of(Kind::Id, &text("user:42/a@b")).unwrap()["value"], Fact::Text("user:42/a@b".into()));
    assert_eq!(of(Kind::Id, "42").unwrap()["value"], Fact::Text("42".into()));
    for bad in ["\"a b\"", "\"\"", "\"a'b\"", "\"a;b\"", "1.5", "\"\u{430}\""] {
        assert_eq!(of(Kind::Id, bad), Err(ReasonCode::KindMismatch), "{bad}");
    }
    for (time, unix) in [
        ("2026-11-22", 1_795_305_600),
        ("2026-11-22T01:00:00+01:00", 1_795_305_600),
        ("2026-11-22 00:00:00.5Z", 1_795_305_600),
        ("1970-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(of(Kind::When, &text(time)).unwrap()["unix"], Fact::Long(unix), "{time}");
    }
    for bad in [
        "2026-02-29",
        "2026-13-01",
        "2026-1-1",
        "tomorrow",
        "2026-11-22T00:00:00",
        "2026-11-22T24:00:00Z",
        "2026-11-22T00:00Z",
    ] {
        assert_eq!(of(Kind::When, &text(bad)), Err(ReasonCode::KindMismatch), "{bad}");
    }
    assert_eq!(of(Kind::Flag, "true").unwrap()["value"], Fact::Flag(true));
    assert_eq!(of(Kind::Flag, "1"), Err(ReasonCode::KindMismatch));
    assert_eq!(of(Kind::Content, &text("a\\u202e\\nb")).unwrap()["lines"], Fact::Long(2));
    assert_eq!(of(Kind::Text, "{\"x\":1}").unwrap()["bytes"], Fact::Long(7));
}

#[test]
fn several_values_are_merged_to_the_worst_case() {
    let kind = Kind::Path { roots: vec![], base: None };
    let json = Json::parse(br#"{"a":[{"p":"/x/.h"},{"p":"/y"},{"p":null},{}]}"#).unwrap();
    let facts = extract(&contract("a[].p", kind.clone()), &json, &Plain).unwrap();
    let facts = facts.of("a[].p").unwrap();
    assert_eq!(facts["value"], Fact::Texts(vec!["/x/.h".into(), "/y".into()]));
    assert_eq!((&facts["hidden"], &facts["count"]), (&Fact::Flag(true), &Fact::Long(2)));
    let none = extract(&contract("a[].p", kind.clone()), &Json::parse(br#"{"a":[]}"#).unwrap(), &Plain).unwrap();
    assert!(none.of("a[].p").is_none());
    for wrong in [r#"{"a":"/x"}"#, r#"{"a":["/x"]}"#, r#"{"a":{"p":"/x"}}"#] {
        assert!(
            extract(&contract("a[].p", kind.clone()), &Json::parse(wrong.as_bytes()).unwrap(), &Plain).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn a_refusal_never_has_the_value() {
    let json = Json::parse(br#"{"a":"https://canary.localhost/"}"#).unwrap();
    let Err(Obstacle::Refused(refusal)) = extract(&contract("a", any_url()), &json, &Plain) else { panic!("refused") };
    assert_eq!(refusal.pointer, "/a");
    assert!(!format!("{refusal:?}").contains("canary"));
}

#[test]
fn what_is_parsed_of_one_call_is_bounded_all_together() {
    let many = |kind: Kind, value: &str, count: usize| {
        let text = format!("{{\"a\":[{}]}}", vec![value; count].join(","));
        let json = Json::parse(text.as_bytes()).unwrap();
        extract(&contract("a[]", kind), &json, &Plain).map(drop).map_err(|obstacle| match obstacle {
            Obstacle::Refused(refusal) => refusal.reason,
            Obstacle::Fault(_) => ReasonCode::Unavailable,
        })
    };
    let sql = text(&format!("SELECT '{}'", "x".repeat(30_000)));
    assert_eq!(many(Kind::Sql { write: false }, &sql, 8), Ok(()));
    assert_eq!(many(Kind::Sql { write: false }, &sql, 9), Err(ReasonCode::KindMismatch));
    assert_eq!(many(Kind::Content, &sql, 100), Ok(()), "what is not parsed may be long");
    let path = || Kind::Path { roots: vec![], base: None };
    assert_eq!((many(path(), "\"/a\"", 256), many(path(), "\"/a\"", 257)), (Ok(()), Err(ReasonCode::KindMismatch)));
    assert_eq!(of(path(), &text(&format!("/{}", "a/".repeat(2_100)))), Err(ReasonCode::KindMismatch));
}

#[test]
fn a_key_that_a_parser_could_take_for_a_ruled_one_is_refused() {
    let refused = |rule: &str, json: &str| {
        let json = Json::parse(json.as_bytes()).unwrap();
        matches!(
            extract(&contract(rule, Kind::Id), &json, &Plain),
            Err(Obstacle::Refused(Refusal { reason: ReasonCode::AmbiguousText, .. }))
        )
    };
    for (rule, json) in [
        ("path", r#"{"Path":"x"}"#),
        ("task.path", r#"{"Task":{"path":"x"}}"#),
        ("task.path", r#"{"task":{"pAth":"x"}}"#),
        ("tasks[].path", r#"{"tasks":[{"path":"a"},{"Path":"x"}]}"#),
        ("task", r#"{"tas\u212a":"x"}"#),
    ] {
        assert!(refused(rule, json), "{json}");
    }
    for (rule, json) in [("path", r#"{"path":"x","paths":"y"}"#), ("path", r#"{"other":{"Path":"x"}}"#), ("path", "{}")]
    {
        assert!(!refused(rule, json), "{json}");
    }
}
