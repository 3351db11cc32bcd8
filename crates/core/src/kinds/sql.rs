//! SQL: does it only read?
//!
//! A statement counts as reading if a real parser takes it for one query, none of its words can change
//! anything, and every function it calls is on a list of functions without effect. Everything else counts as
//! writing, what cannot be parsed included: a database may understand what we do not. Spellings that databases
//! read in different ways (backslashes, carriage returns, brackets, `#`, `@`, `$`, comments other than `-- `, literals other than
//! `'…'`) count as writing too.
//!
//! What this cannot know: views, and functions that need no parentheses or that the database owner defined under a listed name. A database
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

/// Nesting of the parser's own functions: some for each parenthesis.
const RECURSION_MAX: usize = 48;

/// How deep parentheses and `CASE` nest.
fn depth(tokens: &[Token]) -> usize {
    let (mut deepest, mut depth) = (0usize, 0usize);
    for token in tokens {
        match token {
            Token::LParen => depth = depth.saturating_add(1),
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Word(word) if word.keyword == Keyword::CASE => depth = depth.saturating_add(1),
            Token::Word(word) if word.keyword == Keyword::END => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
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
    if tokens.len() > limits::SQL_TOKENS_MAX || depth(&tokens) > limits::SQL_DEPTH_MAX || !plain(text) {
        return Reading { verbs, ..unknown };
    }
    let parsed = Parser::new(&dialect).with_recursion_limit(RECURSION_MAX).try_with_sql(text);
    let Ok(statements) = parsed.and_then(|mut parser| parser.parse_statements()) else {
        return Reading { verbs, ..unknown };
    };
    let query = matches!(statements.as_slice(), [Statement::Query(_)]);
    let write = !query || acts(&tokens) || tokens.iter().any(leaves) || file_as_table(&tokens);
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
        let (name, keyword) = (word.value.to_ascii_lowercase(), word.value.to_ascii_uppercase());
        let structural = word.quote_style.is_none() && listed(STRUCTURAL, &keyword);
        let named = index.checked_sub(1).and_then(|before| solid.get(before)).is_some_and(|before| {
            matches!(before, Token::Word(word) if matches!(word.keyword, Keyword::AS | Keyword::WITH | Keyword::RECURSIVE))
        });
        let harmful = word.quote_style.is_none() && listed(HARMFUL, &keyword);
        let unknown_call = called && !structural && !named && (qualified || !listed(PURE, &name));
        harmful || unknown_call
    })
}

/// Whether a word names something outside of the database: some take a quoted name for a file or an address, and some have
/// tables that are the file system.
fn leaves(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    let name = word.value.to_ascii_lowercase();
    let odd = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | ' ' | '-'));
    name.contains(odd) || listed(OUTSIDE, &name) || name.starts_with("pragma_") || name.starts_with("pg_read")
}

/// Whether a literal stands where a table does: some databases read the file or address of that name.
fn file_as_table(tokens: &[Token]) -> bool {
    let mut tables = vec![false];
    let mut before = &Token::EOF;
    for token in tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))) {
        let follows = match before {
            Token::Word(word) => matches!(word.keyword, Keyword::FROM | Keyword::JOIN),
            before => matches!(before, Token::Comma | Token::LParen),
        };
        let inside = tables.last().copied().unwrap_or_default();
        match token {
            Token::SingleQuotedString(_) if inside && follows => return true,
            Token::LParen => tables.push(inside && follows),
            Token::RParen => drop(tables.pop()),
            Token::Word(word) if matches!(word.keyword, Keyword::FROM | Keyword::JOIN) => {
                if let Some(last) = tables.last_mut() {
                    *last = true;
                }
            }
            Token::Word(word) if listed(AFTER_TABLES, &word.value.to_ascii_uppercase()) => {
                if let Some(last) = tables.last_mut() {
                    *last = false;
                }
            }
            _ => {}
        }
        before = token;
    }
    false
}

fn listed(words: &str, word: &str) -> bool {
    words.split(' ').any(|known| known == word)
}

/// Keywords before a parenthesis that is not a call.
const STRUCTURAL: &str = "\
    IN AS VALUES EXISTS ANY ALL SOME OVER FROM JOIN ON USING WHERE AND OR NOT BY SELECT DISTINCT UNION EXCEPT \
    INTERSECT WHEN THEN ELSE CASE HAVING LIMIT OFFSET FILTER BETWEEN LIKE CAST EXTRACT SUBSTRING TRIM POSITION \
    LATERAL WITHIN GROUP SETS ROLLUP CUBE VARCHAR CHAR DECIMAL NUMERIC FLOAT TIMESTAMP INTERVAL";

/// Words that change something, or hide that they do, wherever they stand unquoted.
const HARMFUL: &str = "\
    INSERT UPDATE DELETE MERGE INTO CREATE DROP ALTER TRUNCATE GRANT REVOKE COPY CALL EXEC EXECUTE LOCK SHARE \
    ATTACH PRAGMA VACUUM LOAD PROCEDURE SHUTDOWN ROLLBACK COMMIT REVERT RECONFIGURE CHECKPOINT SETUSER KILL WAITFOR \
    USE BACKUP RESTORE DBCC NEXTVAL";

/// Keywords after which no table is named, until the next `FROM` or `JOIN`.
const AFTER_TABLES: &str = "SELECT WHERE GROUP HAVING ORDER LIMIT WINDOW UNION EXCEPT INTERSECT";

/// Tables and functions without parentheses that are outside of the database.
const OUTSIDE: &str = "fsdir lsdir zipfile sqlite_dbpage sqlite_dbdata sqlite_dbptr pg_ls_dir pg_stat_file dblink";

/// Functions of the common databases that neither change anything nor reach outside nor wait.
const PURE: &str = "\
    abs array_agg avg bool_and bool_or ceil ceiling char_length coalesce concat concat_ws count cume_dist date \
    date_part date_trunc datetime dense_rank exp first_value floor greatest group_concat hex ifnull iif instr \
    json_agg json_extract julianday lag last_value lead least left length ln log lower lpad ltrim max md5 median \
    min mod month nth_value ntile nullif percent_rank percentile_cont percentile_disc pow power rank replace \
    reverse right round row_number rpad rtrim sign split_part sqrt stddev strftime string_agg strpos substr \
    substring sum time to_char to_date to_number to_timestamp total trim trunc typeof unixepoch upper variance \
    year";
