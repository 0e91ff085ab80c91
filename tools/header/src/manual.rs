//! The layout of the header: a section for each file of `src/ffi`, with its constants, types and
//! functions together, in the order in which a reader needs them.

use std::error::Error;
use std::fs;
use std::path::Path;

/// The files with exported items, in the order of the manual, with the title of their section.
/// A type must come before the sections that use it.
const SECTIONS: [(&str, &str); 18] = [
    ("status", "Status codes and versions"),
    ("error", "Errors"),
    ("slice", "Bytes that are borrowed"),
    ("options", "Options"),
    ("store", "Opening and closing"),
    ("write", "Writing"),
    ("read", "Reading into the caller's memory"),
    ("buffer", "Reading a copy"),
    ("batch", "Writing several keys at once, and depending on the value before"),
    ("pin", "Reading without a copy"),
    ("many", "Reading many keys at once"),
    ("range", "Ranges of keys"),
    ("cursor", "Scanning"),
    ("view", "The store at one instant"),
    ("transaction", "Transactions"),
    ("backup", "Backups"),
    ("stats", "Figures and recovery"),
    ("verify", "Checking, repairing and salvaging a directory"),
];

const PREAMBLE: &str = include_str!("../preamble.h");

/// No line is longer, if a comment can be put on a line of its own instead.
const WIDTH: usize = 100;

/// The text of the header.
pub(crate) fn header(root: &Path) -> Result<String, Box<dyn Error>> {
    let ffi = root.join("src/ffi");
    refuse_unlisted(&ffi)?;
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let mut builder = cbindgen::Builder::new().with_config(config);
    for (file, _) in SECTIONS {
        builder = builder.with_src(ffi.join(file).with_extension("rs"));
    }
    let mut generated = Vec::new();
    builder.generate()?.write(&mut generated);
    let items = items(&String::from_utf8(generated)?);

    let mut text = format!("{PREAMBLE}\n{}\n{OPENING}", versions());
    let mut placed = 0;
    for (file, title) in SECTIONS {
        text += &format!("\n{}\n", heading(title));
        let source = fs::read_to_string(ffi.join(file).with_extension("rs"))?;
        let here = items.iter().filter_map(|item| Some((item.place_in(&source)?, item)));
        let section: Vec<(usize, &Item)> = here.collect();
        placed += section.len();
        text += &body(&section, &source);
    }
    if placed != items.len() {
        return Err(format!("{placed} of {} declarations found their section", items.len()).into());
    }
    Ok(text + CLOSING)
}

const OPENING: &str = "#ifdef __cplusplus\nextern \"C\" {\n#endif\n";
const CLOSING: &str = "\n#ifdef __cplusplus\n}\n#endif\n\n#endif /* KVSTORE_H */\n";

/// A new file with exported functions must not be forgotten in `SECTIONS`.
fn refuse_unlisted(ffi: &Path) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(ffi)? {
        let path = entry?.path();
        let listed = SECTIONS.iter().any(|(file, _)| path.file_stem() == Some(file.as_ref()));
        if !listed && fs::read_to_string(&path)?.contains("#[unsafe(no_mangle)]") {
            return Err(format!("{} exports functions; add it to SECTIONS", path.display()).into());
        }
    }
    Ok(())
}

fn versions() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let (major, minor, patch) = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    );
    format!(
        "/** The version of this header; kvstore_version_number() is that of the library. */\n\
         #define KVSTORE_VERSION \"{version}\"\n\
         #define KVSTORE_VERSION_MAJOR {major}\n\
         #define KVSTORE_VERSION_MINOR {minor}\n\
         #define KVSTORE_VERSION_PATCH {patch}\n\
         #define KVSTORE_VERSION_NUMBER \\\n    \
         (KVSTORE_VERSION_MAJOR * 1000000 + KVSTORE_VERSION_MINOR * 1000 + KVSTORE_VERSION_PATCH)\n"
    )
}

fn heading(title: &str) -> String {
    let rule = "-".repeat(WIDTH - "/*  */".len() - title.len() - 1);
    format!("/* {title} {rule} */")
}

/// A declaration as cbindgen wrote it.
struct Item {
    name: String,
    documentation: Vec<String>,
    code: Vec<String>,
}

impl Item {
    fn is_constant(&self) -> bool {
        self.code[0].starts_with("#define")
    }

    /// Where `source` defines it.
    fn place_in(&self, source: &str) -> Option<usize> {
        ["pub const ", "pub struct ", "pub type ", "extern \"C\" fn "].iter().find_map(|keyword| {
            let definition = format!("{keyword}{}", self.name);
            source.match_indices(&definition).map(|(at, _)| at).find(|at| {
                let behind = source[at + definition.len()..].chars().next();
                behind.is_some_and(|c| !c.is_alphanumeric() && c != '_')
            })
        })
    }

    /// The documentation, if it is one line.
    fn remark(&self) -> Option<&str> {
        match &self.documentation[..] {
            [line] => Some(line),
            _ => None,
        }
    }
}

/// Takes cbindgen's text apart. Includes, guards and `extern "C"` are dropped; this file has its
/// own.
fn items(generated: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut lines = generated.lines().peekable();
    while let Some(line) = lines.next() {
        let mut documentation = Vec::new();
        let mut first = line.to_owned();
        if line == "/**" {
            for line in lines.by_ref().take_while(|line| *line != " */") {
                let text = line.strip_prefix(" *").unwrap_or(line);
                documentation.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
            }
            first = lines.next().unwrap_or_default().to_owned();
        }
        let Some(name) = name(&first) else { continue };
        let mut code = vec![first];
        // A declaration goes on to the next empty line: cbindgen puts none inside.
        while let Some(line) = lines.next_if(|line| !line.is_empty()) {
            code.push(line.to_owned());
        }
        let name = if name == "{" { struct_name(&code) } else { name };
        items.push(Item { name, documentation, code });
    }
    items
}

/// The name that a declaration beginning with `line` declares; `{` for a struct, whose name
/// comes last; nothing if this is no declaration.
fn name(line: &str) -> Option<String> {
    let until = |text: &str, end: char| text.split(end).next().unwrap_or_default().to_owned();
    let last_word = |text: &str| {
        text.rsplit([' ', '*']).next().unwrap_or_default().trim_end_matches(';').to_owned()
    };
    if let Some(rest) = line.strip_prefix("#define KVSTORE_") {
        return (!rest.starts_with("H")).then(|| format!("KVSTORE_{}", until(rest, ' ')));
    }
    match line {
        "typedef struct {" => Some("{".to_owned()),
        _ if line.starts_with("typedef ") => Some(last_word(line)),
        _ if line.contains("kvstore_") && line.contains('(') => Some(last_word(&until(line, '('))),
        _ => None,
    }
}

fn struct_name(code: &[String]) -> String {
    let last = code.last().map(String::as_str).unwrap_or_default();
    last.trim_start_matches("} ").trim_end_matches(';').to_owned()
}

/// The items of a section, each with its place in `source`.
fn body(section: &[(usize, &Item)], source: &str) -> String {
    let mut text = String::new();
    let (constants, others): (Vec<_>, Vec<_>) =
        section.iter().partition(|(_, item)| item.is_constant());
    // Constants without an empty line between them are a group, here as there.
    let together = |a: &(usize, &Item), b: &(usize, &Item)| !source[a.0..b.0].contains("\n\n");
    for group in constants.chunk_by(together) {
        let group: Vec<&Item> = group.iter().map(|(_, item)| *item).collect();
        text += "\n";
        text += &table(&group).unwrap_or_else(|| list(&group));
    }
    for (_, item) in others {
        text += &format!("\n{}", comment("", &item.documentation));
        text += &fields(&item.code);
    }
    text
}

/// The value of a constant. In an expression like `0 -KVSTORE_X`, a bare minus would be read as
/// part of `--`.
fn value(constant: &Item) -> String {
    let value = constant.code[0].rsplit(' ').next().unwrap_or_default();
    if value.starts_with('-') { format!("({value})") } else { value.to_owned() }
}

/// Constants in columns, with what they mean behind them, if every line is short enough.
fn table(constants: &[&Item]) -> Option<String> {
    let names = constants.iter().map(|item| item.name.len()).max()?;
    let values = constants.iter().map(|item| value(item).len()).max()?;
    let mut text = String::new();
    for item in constants {
        let (name, value, remark) = (&item.name, value(item), item.remark()?);
        let line = format!("#define {name:names$} {value:>values$} /* {remark} */\n");
        if line.trim_end().chars().count() > WIDTH {
            return None;
        }
        text += &line;
    }
    Some(text)
}

/// Constants with what they mean above them.
fn list(constants: &[&Item]) -> String {
    let one = |item: &&Item| {
        format!("{}#define {} {}\n", comment("", &item.documentation), item.name, value(item))
    };
    constants.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// A declaration whose one-line comments, on struct fields, take one line.
fn fields(code: &[String]) -> String {
    let mut text = String::new();
    let mut lines = code.iter();
    while let Some(line) = lines.next() {
        if line.trim() != "/**" {
            text += &format!("{line}\n");
            continue;
        }
        let indent = &line[..line.len() - 3];
        let documentation: Vec<String> = lines
            .by_ref()
            .take_while(|line| line.trim() != "*/")
            .map(|line| line.trim().trim_start_matches("* ").to_owned())
            .collect();
        text += &comment(indent, &documentation);
    }
    text
}

fn comment(indent: &str, lines: &[String]) -> String {
    match lines {
        [] => String::new(),
        [line] if indent.len() + line.len() + 7 <= WIDTH => format!("{indent}/** {line} */\n"),
        _ => {
            let mut text = format!("{indent}/**\n");
            for line in lines {
                text += format!("{indent} * {line}").trim_end();
                text += "\n";
            }
            text + indent + " */\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATED: &str = "\
#ifndef KVSTORE_H
#define KVSTORE_H

/**
 * Two
 * lines.
 */
#define KVSTORE_A -1

/**
 * A struct.
 */
typedef struct {
    /**
     * A field.
     */
    int x;
} kvstore_b;

typedef struct kvstore_c kvstore_c;

const char *kvstore_d(int x,
                      int y);
";

    #[test]
    fn declarations_are_found_with_their_names() {
        let items = items(GENERATED);
        let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["KVSTORE_A", "kvstore_b", "kvstore_c", "kvstore_d"]);
        assert_eq!(items[0].documentation, ["Two", "lines."]);
        assert_eq!(
            fields(&items[1].code),
            "typedef struct {\n    /** A field. */\n    int x;\n} kvstore_b;\n"
        );
        assert_eq!(items[3].code.len(), 2);
    }

    #[test]
    fn a_name_is_not_found_inside_a_longer_one() {
        let items = items(GENERATED);
        assert_eq!(items[1].place_in("pub struct kvstore_bb;"), None);
        assert_eq!(items[1].place_in("pub struct kvstore_bb; pub struct kvstore_b {"), Some(23));
    }

    #[test]
    fn negative_constants_have_parentheses_and_long_remarks_go_above() {
        let items = items(GENERATED);
        assert_eq!(table(&[&items[0]]), None);
        assert!(list(&[&items[0]]).ends_with(" */\n#define KVSTORE_A (-1)\n"));
        let short =
            Item { documentation: vec!["One.".into()], ..items.into_iter().next().unwrap() };
        assert_eq!(table(&[&short]).unwrap(), "#define KVSTORE_A (-1) /* One. */\n");
    }
}
