/* test_view.c - JSON answers as text: what people see. */
#include "services/natterjack/view.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(view, .timeout = 5);

static void expect(void (*show)(FILE *f, json_t *value), const char *json, const char *text)
{
    json_error_t why;
    char *got = NULL;
    size_t len;
    json_t *v = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    FILE *f = open_memstream(&got, &len);

    cr_assert(v, "%s", why.text);
    show(f, v);
    fclose(f);
    cr_assert_str_eq(got, text);
    free(got);
    json_decref(v);
}

Test(view, a_list_of_objects_is_a_table)
{
    expect(view_print, "[{\"name\":\"bob\",\"n\":1,\"ok\":true},{\"name\":\"alice\",\"n\":12345}]",
           "name   n      ok\n"
           "bob    1      yes\n"
           "alice  12345  -\n");
}

Test(view, an_object_is_a_line_per_field_with_its_parts_below)
{
    expect(view_print,
           "{\"service\":\"relay\",\"n\":3,\"half\":0.5,\"none\":null,\"counters\":{\"in\":1,"
           "\"refused\":2},"
           "\"list\":[{\"a\":1}],\"plain\":[1,2],\"empty\":{},\"nothing\":[]}",
           "service   relay\n"
           "n         3\n"
           "half      0.500\n"
           "none      -\n"
           "counters\n"
           "  in       1\n"
           "  refused  2\n"
           "list\n"
           "  a\n"
           "  1\n"
           "plain     [1,2]\n"
           "empty     {}\n"
           "nothing   []\n");
}

Test(view, sessions_fit_on_a_terminal)
{
    expect(
        view_sessions,
        "[{\"session\":\"0123\",\"state\":\"closed\",\"initiator\":\"alice\",\"target\":\"bob\","
        "\"path\":\"direct\",\"technique\":null,\"verdict\":\"v\",\"kind\":null,\"policy\":"
        "\"auto\","
        "\"attempts\":1,\"created_ms\":1795254187665,\"age_ms\":40095,\"initiator_id\":\"q\"}]",
        "session  state   initiator  target  path    technique  verdict  policy  attempts  age_s\n"
        "0123     closed  alice      bob     direct  -          v        auto    1         40\n");
    expect(view_sessions, "[]", "none\n");
}

Test(view, an_empty_list_says_so) { expect(view_print, "[]", "none\n"); }

Test(view, a_story_is_a_sentence_a_line)
{
    expect(view_story, "{\"session\":\"1\",\"story\":[\"It began.\",\"It ended.\"]}",
           "It began.\nIt ended.\n");
}

Test(view, a_terminal_never_sees_control_characters)
{
    expect(view_print, "[{\"name\":\"\\u001b[2J\\n\\u007f\"}]", "name\n?[2J??\n");
    expect(view_print, "{\"a\\u001b\":\"\\u001b\"}", "a?  ?\n");
    expect(view_story, "{\"story\":[\"\\u001b]0;x\\u0007\"]}", "?]0;x?\n");
    expect(view_print, "[{\"\\u001bc\":1}]", "?c\n1\n");
    expect(view_print, "[\"\\u009b2J \\u00e9\"]", "??2J \u00e9\n");
}

Test(view, deep_and_wide_answers_end)
{
    char *text = calloc(1, 100000);
    char *p = text;

    for (int i = 0; i < 1000; i++)
        p += sprintf(p, "{\"a\":");
    p += sprintf(p, "1");
    for (int i = 0; i < 1000; i++)
        p += sprintf(p, "}");
    json_t *deep = json_loads(text, 0, NULL);
    FILE *f = fopen("/dev/null", "w");
    cr_assert(deep);
    view_print(f, deep);
    json_t *row = json_object(), *wide = json_pack("[o]", row);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        sprintf(key, "k%d", i);
        json_object_set_new(row, key, json_integer(i));
    }
    view_print(f, wide);
    memset(text, 'x', 99999);
    json_t *longest = json_pack("{s:s}", text, text);
    view_print(f, longest);
    fclose(f);
    json_decref(deep), json_decref(wide), json_decref(longest);
    free(text);
}
