/* Every call and completion as a line of JSON, in memory and where wanted in a file. */
#include "double.h"

#include <stdarg.h>
#include <stdio.h>

static char *log_text, *taken_text;
static size_t log_used, log_size;
static HANDLE log_file = INVALID_HANDLE_VALUE;

void add(struct line *line, const char *format, ...) {
  for (;;) {
    va_list list;
    va_start(list, format);
    size_t room = line->size - line->used;
    int length = vsnprintf(line->text ? line->text + line->used : NULL, room, format, list);
    va_end(list);
    if ((size_t)length < room) {
      line->used += (size_t)length;
      return;
    }
    line->size = line->size * 2 + (size_t)length + 256;
    line->text = realloc(line->text, line->size);
  }
}

void add_hex(struct line *line, const unsigned char *bytes, ULONG length) {
  add(line, ",\"bytes\":\"");
  for (ULONG i = 0; i < length; i++) add(line, "%02x", bytes[i]);
  add(line, "\"");
}

const char *boolean(int value) {
  return value ? "true" : "false";
}

/* With the lock held, so that lines are in the order in which things happened. */
void write_line(struct line *line) {
  add(line, "}\n");
  if (log_size - log_used < line->used + 1) {
    log_size = log_size * 2 + line->used + 4096;
    log_text = realloc(log_text, log_size);
  }
  memcpy(log_text + log_used, line->text, line->used + 1);
  log_used += line->used;
  if (log_file != INVALID_HANDLE_VALUE) {
    DWORD written;
    WriteFile(log_file, line->text, (DWORD)line->used, &written, NULL);
  }
  free(line->text);
}

void log_to_file(const WCHAR *path) {
  const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  log_file = CreateFileW(path, FILE_APPEND_DATA, share, NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
}

const char *take_log(void) {
  free(taken_text);
  taken_text = log_text;
  log_text = NULL;
  log_used = log_size = 0;
  return taken_text ? taken_text : "";
}
