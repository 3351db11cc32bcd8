//! SQL: does it only read?
//!
//! A statement counts as reading if a real parser takes it for one query, none of its words can change
//! anything, and every function it calls is on a list of functions without effect. Everything else counts as
//! writing, what cannot be parsed included: a database may understand what we do not. Spellings that databases
//! read in different ways (backslashes, carriage returns, brackets, `#`, `@`, `$`, comments other than `-- `, literals other than
//! `'…'`) count as writing too.
//!
//! What this cannot know: views and functions that the database owner defined under a listed name. A database
//! that must not be written needs a role that cannot write; this is the second wall.

use sqlparser::ast::Statement;
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::{Answer, unfit};
use crate::facts::{Fact, FactType};
use crate::limits;
use crate::reason::ReasonCode;

/// Facts of SQL: `write` does more than read, `statements`, `verbs` first words in lower case.
pub const FACTS: &[(&str, FactType)] =
    &[("write", FactType::Flag), ("statements", FactType::Long), ("verbs", FactType::Texts)];

pub(super) fn facts(text: &str, write_allowed: bool) -> Answer {
    let reading = reading(text);
    if reading.write && !write_allowed {
        return Err(unfit(ReasonCode::WriteRefused, "one SQL query that only reads"));
    }
    Ok([
        ("write", Fact::Flag(reading.write)),
        ("statements", Fact::Long(i64::try_from(reading.statements).unwrap_or(i64::MAX))),
        ("verbs", Fact::texts(reading.verbs)),
    ]
    .into())
}

struct Reading {
    write: bool,
    statements: usize,
    verbs: Vec<String>,
}

fn reading(text: &str) -> Reading {
    let unknown = Reading { write: true, statements: 0, verbs: Vec::new() };
    let dialect = GenericDialect {};
    let Ok(tokens) = Tokenizer::new(&dialect, text).tokenize() else { return unknown };
    let verbs = verbs(&tokens);
    if tokens.len() > limits::SQL_TOKENS_MAX || !plain(text) {
        return Reading { verbs, ..unknown };
    }
    let parsed = Parser::new(&dialect).with_recursion_limit(limits::SQL_DEPTH_MAX).try_with_sql(text);
    let Ok(statements) = parsed.and_then(|mut parser| parser.parse_statements()) else {
        return Reading { verbs, ..unknown };
    };
    let query = matches!(statements.as_slice(), [Statement::Query(_)]);
    let write = !query || acts(&tokens);
    Reading { write, statements: statements.len(), verbs }
}

fn verbs(tokens: &[Token]) -> Vec<String> {
    let mut verbs = Vec::new();
    let mut first = true;
    for token in tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))) {
        if let (Token::Word(word), true) = (token, first) {
            verbs.push(word.value.to_ascii_lowercase());
        }
        first = *token == Token::SemiColon;
    }
    verbs
}

/// Whether every database cuts the text into the same words: outside of literals `'…'` and quoted names `"…"` there is
/// nothing that begins a literal, a name or a comment for some of them only.
fn plain(text: &str) -> bool {
    // A letter before a quote makes another literal of it in some database (`E'…'`, `q'[…]'`), and so does `&`.
    let separates = |c: char| c.is_ascii_whitespace() || "(,=<>|+-*/%;.".contains(c);
    if text.contains(['\\', '\r']) {
        return false;
    }
    let (mut before, mut rest) = (' ', text);
    while let Some(first) = rest.chars().next() {
        let tail = rest.get(first.len_utf8()..).unwrap_or_default();
        rest = match first {
            '\'' | '"' => {
                let Some(behind) = separates(before).then(|| closed(tail, first)).flatten() else { return false };
                behind
            }
            '-' if tail.starts_with('-') => {
                let comment = tail.get(1..).unwrap_or_default();
                let behind = comment.find('\n').and_then(|end| comment.get(end..)).unwrap_or_default();
                let told = comment.get(..comment.len().saturating_sub(behind.len())).unwrap_or_default();
                if !(comment.is_empty() || comment.starts_with([' ', '\n'])) || !told.chars().all(visible) {
                    return false;
                }
                behind
            }
            // A parameter (`$1`) and no dollar quote, whose tag cannot begin with a digit.
            '$' if separates(before) && tail.starts_with(|c: char| c.is_ascii_digit()) => tail,
            '[' | ']' | '`' | '#' | '$' | '@' | '{' | '}' => return false,
            '/' if tail.starts_with('*') => return false,
            '\n' | '\t' => tail,
            other if visible(other) => tail,
            _ => return false,
        };
        before = first;
    }
    true
}

/// What follows a literal or a quoted name that has just begun; `None` if it does not end. A doubled quote is part of it.
fn closed(mut text: &str, quote: char) -> Option<&str> {
    loop {
        let behind = text.get(text.find(quote)?.saturating_add(1)..)?;
        match behind.strip_prefix(quote) {
            Some(more) => text = more,
            None => return Some(behind),
        }
    }
}

/// Whether a character is a plain one, or a letter or digit of another script. What is blank in one database is part of a
/// name in another.
fn visible(character: char) -> bool {
    matches!(character, ' '..='~' | '\t') || (!character.is_ascii() && character.is_alphanumeric())
}

/// Whether a word can change something or a function is not known to be without effect.
fn acts(tokens: &[Token]) -> bool {
    let solid: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    solid.iter().enumerate().any(|(index, token)| {
        let Token::Word(word) = token else { return false };
        let called = matches!(solid.get(index.saturating_add(1)), Some(Token::LParen));
        let qualified = index.checked_sub(1).and_then(|before| solid.get(before)).is_some_and(|t| **t == Token::Period);
        let name = word.value.to_ascii_lowercase();
        let structural = word.quote_style.is_none() && STRUCTURAL.contains(&word.keyword);
        let named = index.checked_sub(1).and_then(|before| solid.get(before)).is_some_and(|before| {
            matches!(before, Token::Word(word) if matches!(word.keyword, Keyword::AS | Keyword::WITH | Keyword::RECURSIVE))
        });
        let harmful = word.quote_style.is_none() && HARMFUL.contains(&word.keyword);
        let unknown_call = called && !structural && !named && (qualified || !PURE.contains(&name.as_str()));
        harmful || unknown_call
    })
}

/// Keywords before a parenthesis that is not a call.
const STRUCTURAL: &[Keyword] = &[
    Keyword::IN,
    Keyword::AS,
    Keyword::VALUES,
    Keyword::EXISTS,
    Keyword::ANY,
    Keyword::ALL,
    Keyword::SOME,
    Keyword::OVER,
    Keyword::FROM,
    Keyword::JOIN,
    Keyword::ON,
    Keyword::USING,
    Keyword::WHERE,
    Keyword::AND,
    Keyword::OR,
    Keyword::NOT,
    Keyword::BY,
    Keyword::SELECT,
    Keyword::DISTINCT,
    Keyword::UNION,
    Keyword::EXCEPT,
    Keyword::INTERSECT,
    Keyword::WHEN,
    Keyword::THEN,
    Keyword::ELSE,
    Keyword::CASE,
    Keyword::HAVING,
    Keyword::LIMIT,
    Keyword::OFFSET,
    Keyword::FILTER,
    Keyword::BETWEEN,
    Keyword::LIKE,
    Keyword::CAST,
    Keyword::EXTRACT,
    Keyword::SUBSTRING,
    Keyword::TRIM,
    Keyword::POSITION,
    Keyword::LATERAL,
    Keyword::WITHIN,
    Keyword::GROUP,
    Keyword::SETS,
    Keyword::ROLLUP,
    Keyword::CUBE,
    Keyword::VARCHAR,
    Keyword::CHAR,
    Keyword::DECIMAL,
    Keyword::NUMERIC,
    Keyword::FLOAT,
    Keyword::TIMESTAMP,
    Keyword::INTERVAL,
];

/// Words that change something, or hide that they do, wherever they stand unquoted.
const HARMFUL: &[Keyword] = &[
    Keyword::INSERT,
    Keyword::UPDATE,
    Keyword::DELETE,
    Keyword::MERGE,
    Keyword::INTO,
    Keyword::CREATE,
    Keyword::DROP,
    Keyword::ALTER,
    Keyword::TRUNCATE,
    Keyword::GRANT,
    Keyword::REVOKE,
    Keyword::COPY,
    Keyword::CALL,
    Keyword::EXEC,
    Keyword::EXECUTE,
    Keyword::LOCK,
    Keyword::SHARE,
    Keyword::ATTACH,
    Keyword::PRAGMA,
    Keyword::VACUUM,
    Keyword::LOAD,
    Keyword::PROCEDURE,
];

/// Functions of the common databases that neither change anything nor reach outside nor wait.
const PURE: &[&str] = &[
    "abs",
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "ceil",
    "ceiling",
    "char_length",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
    "cume_dist",
    "date",
    "date_part",
    "date_trunc",
    "datetime",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "greatest",
    "group_concat",
    "hex",
    "ifnull",
    "iif",
    "instr",
    "json_agg",
    "json_extract",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "least",
    "left",
    "length",
    "ln",
    "log",
    "lower",
    "lpad",
    "ltrim",
    "max",
    "md5",
    "median",
    "min",
    "mod",
    "month",
    "nth_value",
    "ntile",
    "nullif",
    "percent_rank",
    "percentile_cont",
    "percentile_disc",
    "pow",
    "power",
    "rank",
    "replace",
    "reverse",
    "right",
    "round",
    "row_number",
    "rpad",
    "rtrim",
    "sign",
    "split_part",
    "sqrt",
    "stddev",
    "strftime",
    "string_agg",
    "strpos",
    "substr",
    "substring",
    "sum",
    "time",
    "to_char",
    "to_date",
    "to_number",
    "to_timestamp",
    "total",
    "trim",
    "trunc",
    "typeof",
    "unixepoch",
    "upper",
    "variance",
    "year",
];
