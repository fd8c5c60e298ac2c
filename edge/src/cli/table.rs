//! Rows of text in columns that line up, as wide as what is in them.

use super::out::{Out, Style};

/// One cell: what it says and how it looks.
pub(super) struct Cell {
    text: String,
    style: Option<Style>,
}

impl Cell {
    /// A cell with a colour of its own.
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style: Some(style) }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: None }
    }
}

/// Writes a heading and rows; `nothing` in place of no rows.
pub(super) fn write<const N: usize>(out: &mut Out, heading: [&str; N], rows: &[[Cell; N]], nothing: &str) {
    if rows.is_empty() {
        return out.line(nothing);
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].text.chars().count());
        cells.chain([heading[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let heading = heading.map(|text| Cell::styled(text, Style::Bold));
    for row in std::iter::once(&heading).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let padding = " ".repeat(width - cell.text.chars().count() + 2);
            match cell.style {
                Some(style) => line.push_str(&out.paint(style, &cell.text)),
                None => line.push_str(&cell.text),
            }
            line.push_str(&padding);
        }
        out.line(line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let page = Page::default();
        let mut out = Out::new(page.clone());
        write(&mut out, ["NAME", "STATE"], &[["a".into(), "live".into()], ["longer".into(), "".into()]], "none");
        write(&mut out, ["NAME"], &[], "none");
        out.finish().expect("written");
        let text = String::from_utf8(page.0.lock().expect("not poisoned").clone()).expect("text");
        assert_eq!(text, "NAME    STATE\na       live\nlonger\nnone\n");
    }
}
