//! Characters that do more than show themselves.

/// Whether `character` could steer the terminal or the page that shows it: control characters, those that turn the direction of
/// writing, separators of lines, and what has no width (Unicode, categories Cc, Cf, Zl and Zp, as far as they are in use).
#[must_use]
pub fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
