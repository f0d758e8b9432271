//! Tables that fit a terminal: no line is wider than it, whatever stands in the cells. Where there is too little room, long
//! texts are cut first, then columns that can be done without are left out. A number is shown whole or not at all, for
//! what is left of a cut one is another number. A column in which nothing stands is none.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

#[derive(Clone, Debug)]
pub struct Column {
    head: &'static str,
    is_number: bool,
    /// A text is not cut below this as long as another column can be left out.
    least: usize,
    /// The highest is left out first. `None`: it stays.
    dispensable: Option<u8>,
}

impl Column {
    pub fn text(head: &'static str, least: usize) -> Column {
        Column { head, is_number: false, least, dispensable: None }
    }

    pub fn number(head: &'static str) -> Column {
        Column { head, is_number: true, least: 0, dispensable: None }
    }

    pub fn dispensable(self, rank: u8) -> Column {
        Column { dispensable: Some(rank), ..self }
    }
}

#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// A column that is shown, by its place, and how wide.
#[derive(Clone, Copy, Debug)]
struct Shown {
    at: usize,
    wide: usize,
}

/// Between two columns.
const GAP: usize = 2;

impl Table {
    pub fn new(columns: Vec<Column>) -> Table {
        Table { columns, rows: Vec::new() }
    }

    /// A cell for each column.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The head and the rows, each a line with its end. `width`: `None` where nothing is cut.
    pub fn render(&self, width: Option<usize>) -> String {
        let columns = self.fitting(width.unwrap_or(usize::MAX));
        let heads = self.columns.iter().map(|column| column.head.to_string()).collect();
        let mut text = String::new();
        for cells in std::iter::once(&heads).chain(&self.rows) {
            text += self.line(cells, &columns).trim_end();
            text.push('\n');
        }
        text
    }

    fn fitting(&self, room: usize) -> Vec<Shown> {
        let says = |at: &usize| {
            self.is_empty() || self.rows.iter().any(|row| row.get(*at).is_some_and(|cell| !cell.is_empty()))
        };
        let shown = (0..self.columns.len()).filter(says).map(|at| Shown { at, wide: self.natural(at) });
        let mut shown: Vec<Shown> = shown.collect();
        loop {
            let fitted = shrunk(&shown, room, |at| self.least(at));
            if total(&fitted) <= room {
                return fitted;
            }
            let ranks = shown.iter().enumerate().filter_map(|(place, one)| {
                let rank = self.columns[one.at].dispensable?;
                Some((rank, place))
            });
            match ranks.max() {
                Some((_, place)) => drop(shown.remove(place)),
                None => break,
            }
        }
        // So narrow that what is left has to give way too.
        loop {
            let fitted = shrunk(&shown, room, |at| if self.columns[at].is_number { usize::MAX } else { 1 });
            if total(&fitted) <= room || shown.len() <= 1 {
                return fitted.into_iter().map(|one| Shown { wide: one.wide.min(room), ..one }).collect();
            }
            shown.pop();
        }
    }

    fn natural(&self, at: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| width_of(cell));
        cells.chain([self.columns[at].head.width()]).max().unwrap_or_default()
    }

    fn least(&self, at: usize) -> usize {
        let column = &self.columns[at];
        if column.is_number { usize::MAX } else { column.least.max(column.head.width()) }
    }

    fn line(&self, cells: &[String], columns: &[Shown]) -> String {
        let mut line = String::new();
        for Shown { at, wide } in columns {
            if !line.is_empty() {
                line += &" ".repeat(GAP);
            }
            let cell = cut(cells.get(*at).map_or("", String::as_str), *wide);
            let space = " ".repeat(wide.saturating_sub(width_of(&cell)));
            line += &if self.columns[*at].is_number { space + &cell } else { cell + &space };
        }
        line
    }
}

/// The widest texts give way, evenly, none below what `least` says of its column.
fn shrunk(shown: &[Shown], room: usize, least: impl Fn(usize) -> usize) -> Vec<Shown> {
    let mut shown = shown.to_vec();
    // A cell may be far wider than any terminal.
    for one in &mut shown {
        one.wide = one.wide.min(room.max(least(one.at)));
    }
    while total(&shown) > room {
        match shown.iter_mut().filter(|one| one.wide > least(one.at)).max_by_key(|one| one.wide) {
            Some(widest) => widest.wide -= 1,
            None => break,
        }
    }
    shown
}

fn total(shown: &[Shown]) -> usize {
    let gaps = GAP * shown.len().saturating_sub(1);
    shown.iter().fold(gaps, |sum, one| sum.saturating_add(one.wide))
}

/// How many columns of a terminal it takes at the most: what a terminal joins counts as if it did not.
fn width_of(text: &str) -> usize {
    text.chars().map(|letter| letter.width().unwrap_or_default()).sum()
}

/// As much of a text as fits, with an ellipsis for the rest.
pub fn cut(text: &str, room: usize) -> String {
    if width_of(text) <= room {
        return text.into();
    }
    let mut cut = String::new();
    let mut left = room.saturating_sub(1);
    for letter in text.chars() {
        match left.checked_sub(letter.width().unwrap_or_default()) {
            Some(rest) => left = rest,
            None => break,
        }
        cut.push(letter);
    }
    if room > 0 {
        cut.push('…');
    }
    cut
}

/// The words of a text in lines of this width. A longer word is cut in pieces: a path or a URL has to stay readable.
pub fn wrapped(text: &str, room: usize) -> Vec<String> {
    let room = room.max(2);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let wide = width_of(word);
        if used > 0 && used + 1 + wide > room {
            lines.push(String::new());
            used = 0;
        }
        if used > 0 {
            add(&mut lines, ' ');
            used += 1;
        }
        for letter in word.chars() {
            let wide = letter.width().unwrap_or_default();
            if used + wide > room {
                lines.push(String::new());
                used = 0;
            }
            add(&mut lines, letter);
            used += wide;
        }
    }
    lines
}

/// Topics, and beside them what there is to say, in as many lines as it takes.
pub fn facts<'t>(facts: impl IntoIterator<Item = (&'t str, String)>, room: Option<usize>) -> String {
    let mut text = String::new();
    let room = room.unwrap_or(usize::MAX);
    for (topic, words) in facts {
        for (place, line) in wrapped(&words, room.saturating_sub(TOPIC)).iter().enumerate() {
            let topic = if place == 0 { topic } else { "" };
            text += cut(&format!("{topic:TOPIC$}{line}"), room).trim_end();
            text.push('\n');
        }
    }
    text
}

/// What a topic takes, with the space behind it.
const TOPIC: usize = 14;

fn add(lines: &mut [String], letter: char) {
    if let Some(line) = lines.last_mut() {
        line.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 4]]) -> Table {
        let mut table = Table::new(vec![
            Column::number("NUMBER"),
            Column::text("ROUTE", 6),
            Column::text("SERVER", 10).dispensable(1),
            Column::number("BYTES").dispensable(2),
        ]);
        rows.iter().for_each(|row| table.row(row.map(String::from).to_vec()));
        table
    }

    const ROWS: [[&str; 4]; 2] = [
        ["7", "chat", "ws://backend.internal:9000", "1.5KiB"],
        ["1234", "a-long-route-name", "unix:/run/a.sock", "3B"],
    ];

    #[test]
    fn as_wide_as_there_is_room() {
        for (width, expected) in [
            (
                None,
                "\
NUMBER  ROUTE              SERVER                       BYTES
     7  chat               ws://backend.internal:9000  1.5KiB
  1234  a-long-route-name  unix:/run/a.sock                3B
",
            ),
            (
                Some(50),
                "\
NUMBER  ROUTE             SERVER             BYTES
     7  chat              ws://backend.in…  1.5KiB
  1234  a-long-route-na…  unix:/run/a.sock      3B
",
            ),
            (
                Some(35),
                "\
NUMBER  ROUTE    SERVER       BYTES
     7  chat     ws://back…  1.5KiB
  1234  a-long…  unix:/run…      3B
",
            ),
            (
                Some(30),
                "\
NUMBER  ROUTE       SERVER
     7  chat        ws://back…
  1234  a-long-ro…  unix:/run…
",
            ),
            (
                Some(16),
                "\
NUMBER  ROUTE
     7  chat
  1234  a-long-…
",
            ),
            (
                Some(10),
                "\
NUMBER  R…
     7  c…
  1234  a…
",
            ),
            (Some(8), "NUMBER\n     7\n  1234\n"),
            (Some(3), "NU…\n  7\n12…\n"),
        ] {
            assert_eq!(table(&ROWS).render(width), expected, "{width:?}");
        }
    }

    #[test]
    fn wide_letters_take_two_columns() {
        let rows = [["1", "部屋と部屋", "é\u{301}", "9"]];
        assert_eq!(
            table(&rows).render(Some(80)),
            "NUMBER  ROUTE       SERVER  BYTES\n     1  部屋と部屋  é\u{301}           9\n"
        );
        assert_eq!(table(&rows).render(Some(15)), "NUMBER  ROUTE\n     1  部屋と…\n");
    }

    #[test]
    fn a_column_in_which_nothing_stands_is_none() {
        let rows = [["1", "", "a", ""], ["2", "", "b", ""]];
        assert_eq!(table(&rows).render(Some(80)), "NUMBER  SERVER\n     1  a\n     2  b\n");
        assert_eq!(table(&[[""; 4]]).render(Some(80)), "\n\n");
    }

    #[test]
    fn a_table_without_rows_is_its_head() {
        assert!(table(&[]).is_empty());
        assert_eq!(table(&[]).render(Some(80)), "NUMBER  ROUTE  SERVER  BYTES\n");
    }

    /// Whatever is in it, at any width.
    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let letters = ["", "a", "long", "部", "👩‍👩‍👧", "18446744073709551615", "x y", "\u{301}\u{301}"];
        let mut random = fastrand::Rng::with_seed(6455);
        for _ in 0..300 {
            let mut cell = || {
                (0..random.usize(0..20)).map(|_| letters[random.usize(0..letters.len())]).collect::<String>()
            };
            let rows: Vec<[String; 4]> = (0..3).map(|_| std::array::from_fn(|_| cell())).collect();
            let rows: Vec<[&str; 4]> = rows.iter().map(|row| row.each_ref().map(String::as_str)).collect();
            for width in [1, 2, 7, 40, 80, 200] {
                for line in table(&rows).render(Some(width)).lines() {
                    assert!(width_of(line) <= width, "{width}: {line:?}");
                }
            }
        }
    }

    #[test]
    fn a_cell_of_megabytes_is_no_trouble() {
        let long = "x".repeat(4 << 20);
        let text = table(&[["1", &long, &long, "2"]]).render(Some(80));
        assert!(text.lines().all(|line| line.len() <= 90));
    }

    #[test]
    fn cuts() {
        for (text, room, expected) in [
            ("", 0, ""),
            ("a", 0, ""),
            ("ab", 1, "…"),
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("部屋", 3, "部…"),
            ("部屋", 2, "…"),
        ] {
            assert_eq!(cut(text, room), expected, "{text} {room}");
        }
    }

    #[test]
    fn wraps() {
        for (text, room, expected) in [
            ("", 10, vec![""]),
            ("one two three", 7, vec!["one two", "three"]),
            ("a/long/path/here is cut", 8, vec!["a/long/p", "ath/here", "is cut"]),
            ("部屋 部屋", 5, vec!["部屋", "部屋"]),
            ("部", 1, vec!["部"]),
        ] {
            assert_eq!(wrapped(text, room), expected, "{text} {room}");
        }
    }
}
