#ifndef CTYPE_H_
#define CTYPE_H_

#ifdef __cplusplus
extern "C" {
#endif

/* Of the "C" locale. */
int isalnum(int letter);
int isalpha(int letter);
int isblank(int letter);
int iscntrl(int letter);
int isdigit(int letter);
int isgraph(int letter);
int islower(int letter);
int isprint(int letter);
int ispunct(int letter);
int isspace(int letter);
int isupper(int letter);
int isxdigit(int letter);
int tolower(int letter);
int toupper(int letter);

#ifdef __cplusplus
}
#endif

#endif
